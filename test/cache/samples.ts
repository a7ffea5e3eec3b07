import { randomUUID } from 'node:crypto'

import { countMessages, type History, type HistoryTurn } from '../../lib/model/history.js'
import type { SessionKey } from '../../lib/model/session.js'

export const aSession = (fields: Partial<SessionKey> = {}): SessionKey => ({
  userId: 'ada',
  sessionId: `sess_${randomUUID()}`,
  ...fields,
})

/** A question and its answer; `exchange` is the turn's own unless it joins another. */
export const aTurn = (turn: number, fields: Partial<HistoryTurn> = {}): HistoryTurn => ({
  exchange: turn,
  turn,
  status: 'done',
  messages: [
    { message: { role: 'user', content: `question ${turn}` }, tokens: 4 },
    { message: { role: 'assistant', content: `answer ${turn}` } },
  ],
  ...fields,
})

export const aHistory = (fields: Partial<History> = {}): History => {
  const { turns = [aTurn(1), aTurn(2)] } = fields
  return {
    revision: randomUUID(),
    system: [{ message: { role: 'system', content: 'Be brief.' }, tokens: 5 }],
    turns,
    from: 0,
    reach: countMessages(turns),
    ...fields,
  }
}

/** Messages that a careless copy would change. */
export const awkward = (): History =>
  aHistory({
    turns: [
      aTurn(1, {
        status: 'interrupted',
        messages: [
          { message: { role: 'user', content: 'NUL \0, lone \ud800, é, 漢字, 👩‍👩‍👧, "quotes", \\, \u2028' } },
          {
            message: { role: 'assistant', content: null, tool_calls: [{ id: 'a', nested: [[{}], []] }] },
            tokens: 0,
          },
          {
            message: JSON.parse('{"role":"tool","__proto__":{"x":1},"constructor":[1.5,1e300,-1,true,null]}'),
          },
        ],
      }),
    ],
  })
