import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { FinishedTurn } from '../model/turn.js'
import type { Replay } from './format.js'

/** A stored answer as OpenAI would have sent it. */
export function replayChat(turn: FinishedTurn, stream: boolean): Replay {
  const message = turn.messages.at(-1)?.message ?? { role: 'assistant', content: null }
  if (stream) return { contentType: 'text/event-stream; charset=utf-8', body: asStream(turn, message) }
  return { contentType: 'application/json', body: JSON.stringify(asJson(turn, message)) }
}

const headOf = ({ responseId, responseTime, model }: FinishedTurn, object: string): JsonObject => ({
  ...(responseId !== null && { id: responseId }),
  object,
  ...(responseTime !== null && { created: responseTime }),
  ...(model !== null && { model }),
})

function asJson(turn: FinishedTurn, message: Message): JsonObject {
  const choice = { index: 0, message, logprobs: null, finish_reason: turn.finishReason }
  return {
    ...headOf(turn, 'chat.completion'),
    choices: [choice],
    ...(turn.usage && { usage: turn.usage }),
  }
}

function asStream(turn: FinishedTurn, message: Message): string {
  const head = headOf(turn, 'chat.completion.chunk')
  const chunk = (delta: JsonObject, finish: string | null): JsonObject => ({
    ...head,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  })
  const chunks = [chunk(deltaOf(message), null), chunk({}, turn.finishReason)]
  if (turn.usage) chunks.push({ ...head, choices: [], usage: turn.usage })
  return [...chunks.map((chunk) => JSON.stringify(chunk)), '[DONE]']
    .map((data) => `data: ${data}\n\n`)
    .join('')
}

/** The message in one delta: in a stream, calls carry the place that an array gives them. */
function deltaOf(message: Message): JsonObject {
  const { tool_calls: calls } = message
  return Array.isArray(calls) ? { ...message, tool_calls: calls.map(withIndex) } : message
}

const withIndex = (call: unknown, index: number): unknown => (isObject(call) ? { index, ...call } : call)
