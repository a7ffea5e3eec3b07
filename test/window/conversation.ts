import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { History, HistoryTurn } from '../../lib/model/history.js'
import { isObject } from '../../lib/model/json.js'
import type { HistoryMessage, Message } from '../../lib/model/message.js'
import type { Pairs } from '../../lib/window/pairs.js'

const ids = (list: unknown): string[] =>
  Array.isArray(list)
    ? list.flatMap((call) => (isObject(call) && typeof call.id === 'string' ? [call.id] : []))
    : []

/** The pairs of OpenAI's chat messages. */
export const pairs: Pairs = {
  calls: (message) => ids(message.tool_calls),
  answers: (message) => (message.role === 'tool' ? [String(message.tool_call_id)] : []),
  closeOff: (message) => {
    if (!message.tool_calls) return message
    const { tool_calls: _, ...rest } = message
    return rest.content ? rest : undefined
  },
}

export const user = (content: string): Message => ({ role: 'user', content })
export const assistant = (content: string): Message => ({ role: 'assistant', content })
export const result = (id: string): Message => ({
  role: 'tool',
  tool_call_id: id,
  content: `result of ${id}`,
})
export const calls = (...named: string[]): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: named.map((id) => ({ id, type: 'function', function: { name: 'look', arguments: '{}' } })),
})

export const held = (messages: readonly Message[]): HistoryMessage[] =>
  messages.map((message) => ({ message, tokens: 3 + JSON.stringify(message).length }))

export const aTurn = (
  turn: number,
  exchange: number,
  messages: readonly Message[],
  status: HistoryTurn['status'] = 'done',
): HistoryTurn => ({ turn, exchange, status, messages: held(messages) })

export const aHistory = (turns: readonly HistoryTurn[], more: Partial<History> = {}): History => ({
  revision: 'r1',
  system: [],
  turns: turns.toSorted((a, b) => a.exchange - b.exchange || a.turn - b.turn),
  from: 0,
  reach: turns.reduce((sum, { messages }) => sum + messages.length, 0),
  ...more,
})

/** What OpenAI would say to these messages, in its own words; nothing when it accepts them. */
export function refusal(messages: readonly Message[]): string | undefined {
  let waiting: string[] = []
  for (const [index, message] of messages.entries()) {
    if (message.role === 'tool') {
      if (!waiting.includes(String(message.tool_call_id)))
        return `messages.[${index}].role: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.`
      waiting = waiting.filter((id) => id !== message.tool_call_id)
      continue
    }
    if (waiting.length > 0) return `tool_call_ids did not have response messages: ${waiting.join(', ')}`
    waiting = ids(message.tool_calls)
  }
  return waiting.length > 0
    ? `tool_call_ids did not have response messages: ${waiting.join(', ')}`
    : undefined
}

/** The newest `limit` messages as the store reads them: whole exchanges, and the joined one by its opening turn and its newest turns. */
export function readNewest(whole: History, limit: number, exchange?: number): History {
  const newest = newestTurns(whole.turns, limit + 1)
  if (newest.length === whole.turns.length) return whole
  const cutExchange = whole.turns.at(-newest.length - 1)!.exchange
  const after = newest.filter((turn) => turn.exchange > cutExchange)
  const from = after[0]?.exchange ?? cutExchange + 1
  if (exchange === undefined || exchange > cutExchange) return { ...whole, turns: after, from }
  const [opening, ...rest] = whole.turns.filter((turn) => turn.exchange === exchange)
  const tail = newestTurns(rest, limit)
  return { ...whole, turns: [opening!, ...(tail.length > 0 ? tail : rest.slice(-1)), ...after], from }
}

function newestTurns(turns: readonly HistoryTurn[], limit: number): HistoryTurn[] {
  let rows = 0
  const first = turns.findLastIndex((turn) => (rows += turn.messages.length) > limit)
  return turns.slice(first + 1)
}

export interface Recorded {
  readonly id: string
  readonly messages: readonly Message[]
}

/** The recorded conversations, in a `shared/data` beside the repository or above it; a test that needs them fails when they are missing. */
export function recordedConversations(): Recorded[] {
  const file = path.join('shared', 'data', 'airline-conversations.jsonl')
  for (let folder = process.cwd(); folder !== path.dirname(folder); folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, file))) return readLines(path.join(folder, file))
  }
  throw new Error(`This test needs the recorded conversations: put them at ${path.resolve('..', file)}`)
}

const readLines = (file: string): Recorded[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Recorded)

/** A request of a conversation: what was stored before it, what it brings, and the exchange that it joins. */
export interface Request {
  readonly history: History
  readonly question: readonly HistoryMessage[]
  readonly exchange?: number
}

/** A recorded conversation played back: each request as it was made. */
export function requestsOf(messages: readonly Message[]): Request[] {
  const system = held(messages.filter(({ role }) => role === 'system'))
  const said = messages.filter(({ role }) => role !== 'system')
  const turns: HistoryTurn[] = []
  const requests: Request[] = []
  let question: Message[] = []
  let exchange = 1
  for (const message of said) {
    if (message.role !== 'assistant') {
      question.push(message)
      continue
    }
    const joins = question[0]?.role === 'tool'
    if (!joins) exchange = turns.length + 1
    requests.push({
      history: aHistory([...turns], { system }),
      question: held(question),
      ...(joins && { exchange }),
    })
    turns.push(aTurn(turns.length + 1, exchange, [...question, message]))
    question = []
  }
  return requests
}
