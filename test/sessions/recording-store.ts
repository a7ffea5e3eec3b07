import type { Session } from '../../lib/model/session.js'
import type { BeginCall, CompleteCall, Store } from '../../lib/store/store.js'

/** What a store was asked, in order. */
export interface Asked {
  readonly method: string
  readonly given: unknown[]
}

export const aSession = (fields: Partial<Session> = {}): Session => ({
  id: 'sess_1',
  name: null,
  model: null,
  maxHistoryMessages: 20,
  messageCount: 0,
  metadata: {},
  ttlSeconds: null,
  createdAt: new Date(0),
  updatedAt: new Date(0),
  lastMessageAt: null,
  expiresAt: null,
  ...fields,
})

const begun = (turn: number) => ({
  status: 'begun',
  turn,
  exchange: turn,
  parts: 1,
  settings: { model: null, maxHistoryMessages: 20 },
  revision: 'r',
})

/** A store that keeps nothing: it writes down what it was asked and answers as if all went well, or as it is told. */
export function recordingStore(answers: Partial<Record<keyof Store, unknown>> = {}) {
  const asked: Asked[] = []
  const usual: Record<string, () => unknown> = {
    createSession: () => aSession(),
    findSession: () => aSession(),
    changeSession: () => aSession(),
    deleteSession: () => true,
    clearSession: () => true,
    listSessions: () => ({ data: [], hasMore: false, nextCursor: null }),
    listMessages: () => ({ data: [], hasMore: false, nextCursor: null }),
    beginTurn: () => begun(asked.filter(({ method }) => method === 'beginTurn').length),
    completeTurn: () => ({ status: 'completed', from: 'r', to: 's' }),
  }
  const store = new Proxy({} as Store, {
    get:
      (_, method: string) =>
      (...given: unknown[]) => {
        asked.push({ method, given })
        const told = method in answers
        return Promise.resolve(told ? answers[method as keyof Store] : usual[method]?.())
      },
  })
  return {
    store,
    asked,
    begins: () =>
      asked.filter(({ method }) => method === 'beginTurn').map(({ given }) => given[0] as BeginCall),
    completions: () =>
      asked.filter(({ method }) => method === 'completeTurn').map(({ given }) => given[0] as CompleteCall),
  }
}
