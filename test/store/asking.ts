import { randomUUID } from 'node:crypto'

import { expect } from 'chai'

import type { HistoryMessage, Message } from '../../lib/model/message.js'
import type { SessionFields, SessionKey } from '../../lib/model/session.js'
import type { BeginCall, Begun, CompleteCall, CompleteResult, Store } from '../../lib/store/store.js'

export const user = (content: string): HistoryMessage => ({ message: { role: 'user', content } })
export const assistant = (content: string): HistoryMessage => ({ message: { role: 'assistant', content } })
export const system = (content: string): HistoryMessage => ({ message: { role: 'system', content } })

export const calling = (...ids: string[]): HistoryMessage => ({
  message: {
    role: 'assistant',
    content: null,
    tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })),
  },
})

export const result = (id: string): HistoryMessage => ({
  message: { role: 'tool', tool_call_id: id, content: `result of ${id}` },
})

/** A session that nobody else uses. */
export async function aSession(store: Store, fields: SessionFields = {}): Promise<SessionKey> {
  const key = { userId: `user-${randomUUID()}`, sessionId: `sess_${randomUUID()}` }
  await store.createSession({ ...key, ...fields })
  return key
}

export const aBegin = (session: SessionKey, fields: Partial<BeginCall> = {}): BeginCall => ({
  userId: session.userId,
  sessionId: session.sessionId,
  nonce: randomUUID(),
  system: [],
  question: [user('a question')],
  answers: [],
  format: 'openai',
  leaseMs: 10_000,
  ...fields,
})

export const aComplete = (
  call: BeginCall,
  turn: number,
  fields: Partial<CompleteCall> = {},
): CompleteCall => ({
  userId: call.userId,
  sessionId: call.sessionId,
  nonce: call.nonce,
  turn,
  ending: 'done',
  answer: [assistant('an answer')],
  calls: [],
  ...fields,
})

export async function begun(store: Store, call: BeginCall): Promise<Begun> {
  const answer = await store.beginTurn(call)
  if (answer.status !== 'begun') throw new Error(`expected begun, got ${JSON.stringify(answer)}`)
  return answer
}

/** A whole turn. */
export async function ask(
  store: Store,
  session: SessionKey,
  begin: Partial<BeginCall> = {},
  complete: Partial<CompleteCall> = {},
): Promise<Begun & { readonly call: BeginCall; readonly completed: CompleteResult }> {
  const call = aBegin(session, begin)
  const turn = await begun(store, call)
  const completed = await store.completeTurn(aComplete(call, turn.turn, complete))
  return { ...turn, call, completed }
}

/** What a prompt would hold now, as text: `role:content`, one a message. */
export async function history(
  store: Store,
  session: SessionKey,
  options: { limit?: number; joins?: string[] } = {},
): Promise<string[]> {
  const read = await store.readHistory({ ...session, ...options })
  return spoken(read!.history.turns.flatMap((turn) => turn.messages))
}

const saying = ({ role, content, tool_calls: calls }: Message): string => {
  if (Array.isArray(calls)) return `${role}:${calls.map((call: { id: string }) => call.id).join('+')}`
  return `${role}:${String(content)}`
}

export const spoken = (messages: readonly HistoryMessage[]): string[] =>
  messages.map(({ message }) => saying(message))

/** What is listed, as text, and that the session's and its user's counts say as many. */
export async function listed(store: Store, session: SessionKey): Promise<string[]> {
  const page = await store.listMessages(session, { limit: 1000 })
  const found = await store.findSession(session)
  expect(found?.messageCount, 'messageCount').to.equal(page?.data.length)
  const tokens = page?.data.reduce((sum, message) => sum + (message.tokens ?? 0), 0)
  const stats = await store.stats(session.userId)
  if (stats.sessions === 1) expect(stats).to.include({ messages: page?.data.length, tokens })
  return spoken(page!.data)
}
