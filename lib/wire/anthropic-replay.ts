import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { FinishedTurn } from '../model/turn.js'
import type { Replay } from './format.js'

/** A stored answer as Anthropic would have sent it. */
export function replayMessage(turn: FinishedTurn, stream: boolean): Replay {
  const message = turn.messages.at(-1)?.message ?? { role: 'assistant', content: [] }
  if (stream) return { contentType: 'text/event-stream; charset=utf-8', body: asStream(turn, message) }
  return { contentType: 'application/json', body: JSON.stringify(asJson(turn, message)) }
}

function asJson({ responseId, model, finishReason, usage }: FinishedTurn, message: Message): JsonObject {
  const { role, content, ...fields } = message
  return {
    ...(responseId !== null && { id: responseId }),
    type: 'message',
    role,
    ...(model !== null && { model }),
    content,
    stop_reason: finishReason,
    ...fields,
    ...(usage && { usage }),
  }
}

function asStream(turn: FinishedTurn, message: Message): string {
  const { content } = message
  const blocks = Array.isArray(content) ? content.filter(isObject) : []
  const usage = turn.usage ?? {}
  const events = [
    { type: 'message_start', message: { ...asJson(turn, message), ...unsaid, usage } },
    ...blocks.flatMap(blockEvents),
    { type: 'message_delta', delta: endOf(turn, message), usage },
    { type: 'message_stop' },
  ]
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}

/** What a message does not know when it begins. */
const unsaid: JsonObject = { content: [], stop_reason: null, stop_sequence: null }

function endOf({ finishReason }: FinishedTurn, message: Message): JsonObject {
  const known = ['stop_sequence', 'stop_details', 'container'].filter((field) =>
    Object.hasOwn(message, field),
  )
  return { stop_reason: finishReason, ...Object.fromEntries(known.map((field) => [field, message[field]])) }
}

/** A block begins empty and is said in one delta a field, which is how every client reads it. */
function blockEvents(block: JsonObject, index: number): readonly { readonly type: string }[] {
  const { empty, deltas } = unfolded(block)
  return [
    { type: 'content_block_start', index, content_block: { ...block, ...empty } },
    ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ] as readonly { readonly type: string }[]
}

function unfolded(block: JsonObject): { readonly empty: JsonObject; readonly deltas: readonly JsonObject[] } {
  const { type, text, citations, thinking, signature, input } = block
  if (type === 'text') {
    const cited = Array.isArray(citations) ? citations : []
    const said = cited.map((citation: unknown) => ({ type: 'citations_delta', citation }))
    const empty = { text: '', ...(Array.isArray(citations) && { citations: [] }) }
    return { empty, deltas: [{ type: 'text_delta', text }, ...said] }
  }
  if (type === 'thinking') {
    const deltas = [
      { type: 'thinking_delta', thinking },
      { type: 'signature_delta', signature },
    ]
    return { empty: { thinking: '', signature: '' }, deltas }
  }
  if (!isObject(input)) return { empty: {}, deltas: [] }
  const json = Object.keys(input).length === 0 ? '' : JSON.stringify(input)
  return { empty: { input: {} }, deltas: [{ type: 'input_json_delta', partial_json: json }] }
}
