import type { Conversation, RecordedMessage } from './conversations.js'
import { requestRefusal } from './openai-rules.js'
import { windowFault } from './rules.js'

/** What the provider of a replay answers to a request. */
export type RecordedAnswer =
  | { readonly status: number; readonly json: object }
  | { readonly status: 200; readonly stream: Iterable<Buffer> }

interface Body {
  readonly model: string
  /** `from:to:limit` of the question. */
  readonly user: string
  readonly stream?: boolean
  readonly messages: readonly RecordedMessage[]
}

const allowedFields = new Set(['model', 'user', 'stream', 'stream_options', 'messages'])

/**
 * A provider that plays recorded conversations. The request names its conversation in `model` and its place and limit in `user`;
 * what does not equal the recording, or what a real provider would refuse, is answered with an error.
 */
export function recordedProvider(
  recorded: readonly Conversation[],
): (requestBody: unknown) => RecordedAnswer {
  const conversations = new Map(recorded.map(({ id, messages }) => [id, messages]))
  return (requestBody) => {
    const body = requestBody as Body
    const messages = conversations.get(body.model)!
    const message = faultOf(body, messages)
    if (message !== undefined)
      return {
        status: 400,
        json: { error: { message, type: 'invalid_request_error', param: null, code: null } },
      }
    const answer = messages[Number(body.user.split(':')[1])]!
    return body.stream === true
      ? { status: 200, stream: streamOf(body, answer) }
      : { status: 200, json: completionOf(body, answer) }
  }
}

function faultOf(body: Body, messages: readonly RecordedMessage[]): string | undefined {
  const unknown = Object.keys(body).find((name) => !allowedFields.has(name))
  if (unknown !== undefined) return `Unknown parameter: '${unknown}'.`
  const refusal = requestRefusal({ ...body })
  if (refusal !== undefined) return refusal
  const [from, to, limit] = body.user.split(':').map(Number) as [number, number, number]
  return windowFault(body.messages, messages.slice(0, to), from, limit)
}

const head = ({ model, user }: Body) => ({ id: `chatcmpl-${model}-${user}`, created: 1_700_000_000, model })

const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }

const finishReason = ({ tool_calls }: RecordedMessage): string => (tool_calls ? 'tool_calls' : 'stop')

function completionOf(body: Body, message: RecordedMessage): object {
  const choices = [{ index: 0, message, finish_reason: finishReason(message), logprobs: null }]
  return { ...head(body), object: 'chat.completion', choices, usage }
}

/** The answer in small deltas, tool calls by index with their arguments in pieces, cut without regard to events. */
function* streamOf(body: Body, message: RecordedMessage): Generator<Buffer> {
  const bytes = Buffer.from([...eventsOf(body, message)].map((data) => `data: ${data}\n\n`).join(''))
  for (let from = 0; from < bytes.length; from += 333) yield bytes.subarray(from, from + 333)
}

function* eventsOf(body: Body, message: RecordedMessage): Generator<string> {
  const chunk = (delta: object, finish_reason: string | null = null): string =>
    JSON.stringify({
      ...head(body),
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta, finish_reason }],
    })
  yield chunk({ role: 'assistant', content: message.content === null ? null : '' })
  for (const content of piecesOf(message.content ?? '')) yield chunk({ content })
  for (const [index, call] of (message.tool_calls ?? []).entries()) {
    const { name, arguments: whole } = call.function
    yield chunk({ tool_calls: [{ index, id: call.id, type: call.type, function: { name, arguments: '' } }] })
    for (const piece of piecesOf(whole))
      yield chunk({ tool_calls: [{ index, function: { arguments: piece } }] })
  }
  yield chunk({}, finishReason(message))
  yield JSON.stringify({ ...head(body), object: 'chat.completion.chunk', choices: [], usage })
  yield '[DONE]'
}

const piecesOf = (text: string): string[] => text.match(/[\s\S]{1,40}/g) ?? []
