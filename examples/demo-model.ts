import { randomUUID } from 'node:crypto'

interface ChatMessage {
  readonly role: string
  readonly content?: unknown
}

export interface DemoRequest {
  readonly model?: string
  readonly messages: readonly ChatMessage[]
  readonly stream?: boolean
}

/** A provider for trying things out: it answers at once and shows which of the user's earlier messages it was sent. */
export function demoAnswer(messages: readonly ChatMessage[]): string {
  const asked = messages.filter(({ role }) => role === 'user').map(({ content }) => textOf(content))
  const question = asked.at(-1) ?? ''
  const earlier = asked.at(-2)
  if (earlier === undefined)
    return `You said: "${question}". Ask me something else in this session and I will quote it.`
  return `Before "${question}" you said: "${earlier}". I was sent ${messages.length - 1} earlier messages.`
}

const textOf = (content: unknown): string => (typeof content === 'string' ? content : JSON.stringify(content))

/** The answer as one `chat.completion` object. */
export function completion(model: string, content: string): object {
  return {
    id: `chatcmpl-${randomUUID()}`,
    object: 'chat.completion',
    created: Math.floor(Date.now() / 1000),
    model,
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop', logprobs: null }],
  }
}

/** The answer as the Server-Sent Events of a stream, word by word. */
export function* completionEvents(model: string, content: string): Generator<string> {
  const head = {
    id: `chatcmpl-${randomUUID()}`,
    object: 'chat.completion.chunk',
    created: Math.floor(Date.now() / 1000),
    model,
  }
  const event = (delta: object, finish_reason: string | null): string =>
    `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason }] })}\n\n`
  yield event({ role: 'assistant', content: '' }, null)
  for (const word of content.split(/(?<= )/)) yield event({ content: word }, null)
  yield event({}, 'stop')
  yield 'data: [DONE]\n\n'
}
