import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export interface RecordedMessage {
  readonly role: string
  readonly content: string | null
  readonly tool_calls?: readonly {
    readonly id: string
    readonly type: 'function'
    readonly function: { name: string; arguments: string }
  }[]
  readonly tool_call_id?: string
  readonly name?: string
}

export interface Conversation {
  readonly id: string
  readonly messages: readonly RecordedMessage[]
}

const recordings = path.resolve(import.meta.dirname, '../../../shared/data/airline-conversations.jsonl')

/** The recorded conversations; a run without them fails and says what is missing. */
export function recordedConversations(): Conversation[] {
  if (!existsSync(recordings)) {
    throw new Error(
      `The recorded conversations are missing: put airline-conversations.jsonl at ${recordings}.`,
    )
  }
  return readConversations(recordings)
}

export const readConversations = (file: string): Conversation[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Conversation)

export const writeConversations = (file: string, conversations: readonly Conversation[]): void =>
  writeFileSync(file, conversations.map((conversation) => JSON.stringify(conversation) + '\n').join(''))

/** What a client sends at once: a user's message (the first with the system message), or all the results of a step. */
export interface Step {
  /** Place of the first and of the one behind the last message of the question. */
  readonly from: number
  readonly to: number
}

/** The requests of a conversation; the last messages, which nobody answered, are not sent. */
export function stepsOf({ messages }: Conversation): Step[] {
  const steps: Step[] = []
  let from = 0
  messages.forEach((message, place) => {
    if (message.role !== 'assistant') return
    steps.push({ from, to: place })
    from = place + 1
  })
  return steps
}

/** Conversations with parallel calls and long loops, the same ones for the same seed. */
export function generatedConversations(count: number, seed: number): Conversation[] {
  const random = randomFrom(seed)
  return Array.from({ length: count }, (_, index) => ({
    id: `generated-${index}`,
    messages: [
      { role: 'system', content: `policy ${index}` },
      ...Array.from({ length: 2 + Math.floor(random() * 5) }, (_, exchange) =>
        anExchange(exchange, random),
      ).flat(),
    ],
  }))
}

function anExchange(exchange: number, random: () => number): RecordedMessage[] {
  const isLoop = random() < 0.1
  const steps = isLoop ? 100 : Math.floor(random() * 4)
  const messages: RecordedMessage[] = [{ role: 'user', content: `question ${exchange} ${random()}` }]
  for (let step = 0; step < steps; step++) {
    const calls = isLoop ? 1 : 1 + Math.floor(random() * 30)
    const ids = Array.from({ length: calls }, (_, call) => `call_${exchange}_${step}_${call}`)
    messages.push({
      role: 'assistant',
      content: random() < 0.2 ? `thinking ${step}` : null,
      tool_calls: ids.map((id) => ({
        id,
        type: 'function',
        function: { name: 'look', arguments: `{"n":${random()}}` },
      })),
    })
    for (const id of ids) messages.push({ role: 'tool', tool_call_id: id, content: `result of ${id}` })
  }
  messages.push({ role: 'assistant', content: `answer ${exchange} ${random()}` })
  return messages
}

/** Numbers in [0, 1), the same ones for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
