import { Redis } from 'ioredis'
import { Pool } from 'pg'

import { windowMessages, type Contender } from '../contenders/contender.js'
import { placesOf, text, type Place } from '../places.js'
import { withClient } from '../stage.js'

/* What is used of LangChain, which is not there when the types are checked. */
type ChatMessage = object
interface StoredMessage {
  readonly type: string
  readonly data: object
}
interface MessageHistory {
  getMessages(): Promise<ChatMessage[]>
  addMessages(messages: readonly ChatMessage[]): Promise<void>
}
interface Messages {
  readonly HumanMessage: new (text: string) => ChatMessage
  readonly AIMessage: new (text: string) => ChatMessage
  mapChatMessagesToStoredMessages(messages: readonly ChatMessage[]): StoredMessage[]
}
interface PostgresHistories {
  readonly PostgresChatMessageHistory: new (fields: { pool: Pool; sessionId: string }) => MessageHistory
}
interface RedisHistories {
  readonly RedisChatMessageHistory: new (fields: {
    config: { url: string }
    sessionId: string
  }) => MessageHistory & { readonly client: { disconnect(): Promise<void> } }
}

const load = async <Module>(name: string): Promise<Module> => (await import(name)) as Module
const loadMessages = (): Promise<Messages> => load('@langchain/core/messages')

/** As RunnableWithMessageHistory does it: load what there is, add both messages behind the answer. */
async function turnIn(history: MessageHistory, messages: Messages): Promise<void> {
  const newest = (await history.getMessages()).slice(-windowMessages)
  if (newest.length !== windowMessages) throw new Error('LangChain sent no whole window.')
  await history.addMessages([new messages.HumanMessage(text), new messages.AIMessage(text)])
}

/** One object a session, kept, so that each makes sure of its table once: a new one a request costs one round trip more. */
function histories<History extends MessageHistory>(
  make: (sessionId: string) => History,
): (place: Place) => History {
  const made = new Map<string, History>()
  return ({ sessionId }) => {
    const known = made.get(sessionId) ?? make(sessionId)
    made.set(sessionId, known)
    return known
  }
}

/** LangChain's Postgres history with the index that its own table lacks: as shipped each load reads the whole table. */
export async function langchainPostgres(database: string): Promise<Contender> {
  const messages = await loadMessages()
  const { PostgresChatMessageHistory } = await load<PostgresHistories>(
    '@langchain/community/stores/message/postgres',
  )
  const pool = new Pool({ connectionString: database, max: 10 })
  const historyOf = histories((sessionId) => new PostgresChatMessageHistory({ pool, sessionId }))
  await historyOf({ userId: '', sessionId: 'first' }).getMessages()
  await pool.query('create index on langchain_chat_histories (session_id, id)')
  const [asked, answered] = messages
    .mapChatMessagesToStoredMessages([new messages.HumanMessage(text), new messages.AIMessage(text)])
    .map(({ type, data }) => JSON.stringify({ ...data, type }))
  return {
    name: 'LangChain, Postgres with an index',
    isOurs: false,
    load: ({ messages, sessions }) =>
      withClient(database, async (client) => {
        await client.query(
          `insert into langchain_chat_histories (session_id, message)
          select 'session-${messages}-' || s, case m % 2 when 0 then $1::jsonb else $2::jsonb end
          from generate_series(0, ${sessions - 1}) s, generate_series(0, ${messages - 1}) m`,
          [asked, answered],
        )
        await client.query('vacuum analyze')
      }),
    turn: (place) => turnIn(historyOf(place), messages),
    close: () => pool.end(),
  }
}

/** LangChain's Redis history: a list that is read whole, and nothing is on a disk. */
export async function langchainRedis(url: string): Promise<Contender> {
  const messages = await loadMessages()
  const { RedisChatMessageHistory } = await load<RedisHistories>('@langchain/redis')
  // Its pool of clients is keyed by the object, not by what stands in it: a literal a history is a connection a history.
  const config = { url }
  const historyOf = histories((sessionId) => new RedisChatMessageHistory({ config, sessionId }))
  const first = historyOf({ userId: '', sessionId: 'first' })
  await first.getMessages()
  const pair = messages
    .mapChatMessagesToStoredMessages([new messages.AIMessage(text), new messages.HumanMessage(text)])
    .map((message) => JSON.stringify(message))
  return {
    name: 'LangChain, Redis (not durable)',
    isOurs: false,
    load: async (depth) => {
      const redis = new Redis(url)
      const newestFirst = Array.from({ length: depth.messages }, (_, n) => pair[n % 2]!)
      for (const { sessionId } of placesOf(depth)) await redis.rpush(sessionId, ...newestFirst)
      redis.disconnect()
    },
    turn: (place) => turnIn(historyOf(place), messages),
    close: () => first.client.disconnect(),
  }
}
