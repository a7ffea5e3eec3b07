import { isDeepStrictEqual } from 'node:util'

import type { RecordedMessage } from './conversations.js'

/** What a real provider answers to messages that it cannot take; nothing when it takes them. */
export function providerRefusal(messages: readonly RecordedMessage[]): string | undefined {
  let waiting = new Set<string>()
  for (const [place, message] of messages.entries()) {
    if (message.role === 'tool') {
      if (waiting.delete(message.tool_call_id ?? '')) continue
      return `Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'. (messages.[${place}])`
    }
    if (waiting.size > 0) return unanswered(waiting)
    waiting = new Set(message.tool_calls?.map(({ id }) => id))
  }
  return waiting.size > 0 ? unanswered(waiting) : undefined
}

const unanswered = (ids: Set<string>): string =>
  `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${[...ids].join(', ')}`

/**
 * Why `sent` is not the window that design.md, section 6, asks for; nothing when it is. `recorded` is the conversation up to
 * and with the question, which begins at `questionFrom`.
 */
export function windowFault(
  sent: readonly RecordedMessage[],
  recorded: readonly RecordedMessage[],
  questionFrom: number,
  limit: number,
): string | undefined {
  const expected = expectedWindow(recorded, questionFrom, limit)
  if (isDeepStrictEqual(sent, expected)) return undefined
  return `expected ${describe(expected)}, got ${describe(sent)} at limit ${limit}`
}

const describe = (messages: readonly RecordedMessage[]): string =>
  `${messages.length} messages [${messages.map(({ role }) => role[0]).join('')}]`

function expectedWindow(
  recorded: readonly RecordedMessage[],
  questionFrom: number,
  limit: number,
): RecordedMessage[] {
  const system = recorded.filter(({ role }) => role === 'system')
  const question = recorded.slice(questionFrom).filter(({ role }) => role !== 'system')
  const history = recorded.slice(0, questionFrom).filter(({ role }) => role !== 'system')
  const exchanges = splitBefore(history, ({ role }) => role === 'user')
  const running = question[0]?.role === 'tool' ? exchanges.pop() : undefined
  const kept = running ? trimmedRunning(running, limit) : []
  if (kept.length < (running?.length ?? 0)) return [...system, ...kept, ...question]
  while (exchanges.length > 0 && kept.length + exchanges.at(-1)!.length <= limit)
    kept.unshift(...exchanges.pop()!)
  return [...system, ...kept, ...question]
}

/** The user's message and the step being answered stay; the oldest whole steps between fall out. */
function trimmedRunning(running: readonly RecordedMessage[], limit: number): RecordedMessage[] {
  const head = running.slice(0, 1)
  const steps = splitBefore(running.slice(1), ({ role }) => role === 'assistant')
  while (steps.length > 1 && head.length + steps.flat().length > limit) steps.shift()
  return [...head, ...steps.flat()]
}

function splitBefore(
  messages: readonly RecordedMessage[],
  starts: (message: RecordedMessage) => boolean,
): RecordedMessage[][] {
  const parts: RecordedMessage[][] = []
  for (const message of messages) {
    if (starts(message) || parts.length === 0) parts.push([])
    parts.at(-1)!.push(message)
  }
  return parts
}
