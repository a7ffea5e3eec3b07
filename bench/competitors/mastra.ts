import { randomUUID } from 'node:crypto'

import { windowMessages, type Contender } from '../contenders/contender.js'
import { text } from '../places.js'
import { withClient } from '../stage.js'

/* What is used of Mastra, which is not there when the types are checked. */
interface Storage {
  init(): Promise<void>
  close(): Promise<void>
}
interface StoredMessage {
  readonly id: string
  readonly role: 'user' | 'assistant'
  readonly createdAt: Date
  readonly threadId: string
  readonly resourceId: string
  readonly content: object
}
interface Memory {
  recall(from: { threadId: string; resourceId: string; perPage: number }): Promise<{
    messages: readonly StoredMessage[]
  }>
  saveMessages(given: { messages: readonly StoredMessage[] }): Promise<unknown>
}
interface MastraMemory {
  readonly Memory: new (options: { storage: Storage; options: object }) => Memory
}
interface MastraPostgres {
  readonly PostgresStore: new (options: { id: string; connectionString: string; max: number }) => Storage
}

const load = async <Module>(name: string): Promise<Module> => (await import(name)) as Module
const content = { format: 2, parts: [{ type: 'text', text }] }

/** Mastra's memory of the last 20 messages, all else off. Both messages are saved behind the answer, as its agents do. */
export async function mastraPostgres(database: string): Promise<Contender> {
  const { Memory } = await load<MastraMemory>('@mastra/memory')
  const { PostgresStore } = await load<MastraPostgres>('@mastra/pg')
  const storage = new PostgresStore({ id: 'bench', connectionString: database, max: 10 })
  await storage.init()
  const options = { lastMessages: windowMessages, semanticRecall: false, workingMemory: { enabled: false } }
  const memory = new Memory({ storage, options })
  return {
    name: 'Mastra, Postgres',
    isOurs: false,
    load: ({ messages, sessions }) =>
      withClient(database, async (client) => {
        await client.query(`insert into mastra_threads (id, "resourceId", title, metadata, "createdAt", "updatedAt")
          select 'session-${messages}-' || s, 'user-${messages}-' || s, 'bench', '{}', now(), now() from generate_series(0, ${sessions - 1}) s`)
        await client.query(
          `insert into mastra_messages (id, thread_id, "resourceId", content, role, type, "createdAt", "createdAtZ")
          select gen_random_uuid(), 'session-${messages}-' || s, 'user-${messages}-' || s, $1,
            case m % 2 when 0 then 'user' else 'assistant' end, 'v2', at, at
          from generate_series(0, ${sessions - 1}) s, generate_series(0, ${messages - 1}) m,
            lateral (select timestamptz '2026-01-01 00:00:00Z' + m * interval '1 second' as at) moment`,
          [JSON.stringify(content)],
        )
        await client.query('vacuum analyze')
      }),
    turn: async ({ userId, sessionId }) => {
      const { messages } = await memory.recall({
        threadId: sessionId,
        resourceId: userId,
        perPage: windowMessages,
      })
      if (messages.length !== windowMessages) throw new Error('Mastra sent no whole window.')
      const asked = Date.now()
      const message = (role: StoredMessage['role'], createdAt: Date): StoredMessage => ({
        id: randomUUID(),
        role,
        createdAt,
        threadId: sessionId,
        resourceId: userId,
        content,
      })
      await memory.saveMessages({
        messages: [message('user', new Date(asked)), message('assistant', new Date(asked + 1))],
      })
    },
    close: () => storage.close(),
  }
}
