import { expect } from 'chai'

import { stepsOf, type Conversation, type RecordedMessage } from './conversations.js'
import type { Host as RunningHost } from './host.js'

/** Where it is, and what it asks for. */
type Host = Pick<RunningHost, 'url' | 'token'>

export interface PlayOptions {
  readonly stream: boolean
  /** `max_history_messages` of the session. */
  readonly limit: number
  /** Which of the conversation's requests to play; all by default. */
  readonly part?: 'first half' | 'second half'
}

/** Play a conversation through a host: each request carries only what is new. Throws where an answer is not the recorded one. */
export async function play(host: Host, conversation: Conversation, options: PlayOptions): Promise<void> {
  const session = `${conversation.id}-${options.stream ? 'stream' : 'json'}-${options.limit}`
  const steps = stepsOf(conversation)
  const middle = Math.ceil(steps.length / 2)
  if (options.part !== 'second half') {
    await call(host, 'POST', '/chat/sessions', { session_id: session, max_history_messages: options.limit })
  }
  for (const [index, { from, to }] of steps.entries()) {
    if (options.part === 'first half' && index >= middle) break
    if (options.part === 'second half' && index < middle) continue
    const body = {
      session_id: session,
      model: conversation.id,
      user: `${from}:${to}:${options.limit}`,
      messages: conversation.messages.slice(from, to),
      stream: options.stream,
    }
    const answer = await (options.stream ? askStream(host, body) : askJson(host, body))
    expect(answer, `${session}, request ${index}`).to.deep.equal(conversation.messages[to])
  }
  if (options.part === 'first half') return
  const listed = await listMessages(host, session)
  expect(listed, session).to.deep.equal(conversation.messages.slice(0, steps.at(-1)!.to + 1))
}

async function askJson(host: Host, body: object): Promise<RecordedMessage> {
  const answer = await call(host, 'POST', '/v1/chat/completions', body)
  return (answer.choices as { message: RecordedMessage }[])[0]!.message
}

async function askStream(host: Host, body: object): Promise<RecordedMessage> {
  const response = await send(host, 'POST', '/v1/chat/completions', body)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${response.status} ${text}`)
  const events = text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice(6)))
  expect(text.endsWith('data: [DONE]\n\n')).to.equal(true)
  return folded(events.flatMap(({ choices }) => choices.map(({ delta }: { delta: Delta }) => delta)))
}

interface Delta {
  readonly content?: string | null
  readonly tool_calls?: readonly {
    index: number
    id?: string
    type?: 'function'
    function: { name?: string; arguments: string }
  }[]
}

/** A client's own fold, written apart from the package's. */
function folded(deltas: readonly Delta[]): RecordedMessage {
  const text = deltas.map(({ content }) => content).filter((piece) => typeof piece === 'string')
  const calls: { id: string; type: 'function'; function: { name: string; arguments: string } }[] = []
  for (const { index, id, function: part } of deltas.flatMap(({ tool_calls }) => tool_calls ?? [])) {
    calls[index] ??= { id: id!, type: 'function', function: { name: part.name!, arguments: '' } }
    calls[index].function.arguments += part.arguments
  }
  const content = text.length > 0 ? text.join('') : null
  return { role: 'assistant', content, ...(calls.length > 0 && { tool_calls: calls }) }
}

export async function listMessages(host: Host, session: string): Promise<object[]> {
  const messages: object[] = []
  let after = ''
  for (;;) {
    const page = await call(host, 'GET', `/chat/sessions/${session}/messages?limit=100${after}`)
    messages.push(...(page.data as Record<string, unknown>[]).map(withoutPlace))
    if (page.has_more !== true) return messages
    after = `&after=${encodeURIComponent(String(page.next_cursor))}`
  }
}

function withoutPlace({
  id: _id,
  turn: _turn,
  tokens: _tokens,
  status,
  created_at: _at,
  ...message
}: Record<string, unknown>): object {
  expect(status).to.equal('done')
  return message
}

export async function call(
  host: Host,
  method: string,
  path: string,
  body?: object,
): Promise<Record<string, unknown>> {
  const response = await send(host, method, path, body)
  const text = await response.text()
  if (response.status >= 300) throw new Error(`${method} ${path} ${response.status} ${text}`)
  return JSON.parse(text) as Record<string, unknown>
}

export const send = (host: Host, method: string, path: string, body?: object): Promise<Response> =>
  fetch(host.url + path, {
    method,
    headers: { authorization: `Bearer ${host.token}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
