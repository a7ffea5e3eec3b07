import { expect } from 'chai'
import createKnex from 'knex'

import type { Message, TurnlogError } from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'

const user = (content: string): Message => ({ role: 'user', content })
const calling = (id: string): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name: 'look', arguments: '{}' } }],
})

describe('a dry run', () => {
  let core: FreshCore
  let session: string
  beforeEach(async () => {
    core = await freshCore({ maxHistoryMessages: 4 })
    await core.turnlog.ready({ models: ['gpt-4o'] })
    session = (await core.turnlog.sessions.create({ userId: 'ann', model: 'gpt-4o' })).id
  })
  afterEach(() => core.end())

  const tell = async (question: Message, answer: string | Message): Promise<void> => {
    const turn = await core.turnlog.begin({ userId: 'ann', sessionId: session, question })
    await turn.complete(answer)
  }
  const faultOf = (asked: Promise<unknown>): Promise<TurnlogError> =>
    asked.then(
      () => expect.fail('It was taken.'),
      (error: unknown) => error as TurnlogError,
    )
  const rows = async (): Promise<unknown> => {
    const knex = createKnex({ client: 'pg', connection: core.url, pool: { min: 0, max: 1 } })
    const all = await Promise.all(
      ['sessions', 'turns', 'messages'].map((name) => knex(`chat_${name}`).select('*')),
    )
    await knex.destroy()
    return all
  }

  const bodies: Record<string, object> = {
    'a question': { messages: [user('next')] },
    'a question with a system message of its own': {
      messages: [{ role: 'system', content: 'be long' }, user('next')],
    },
    'the results of calls': { messages: [{ role: 'tool', tool_call_id: 'c1', content: 'found' }] },
    'a resent history': {
      messages: [
        user('b'),
        { role: 'assistant', content: 'B' },
        user('look'),
        calling('c1'),
        user('never mind'),
      ],
    },
  }
  for (const [what, more] of Object.entries(bodies)) {
    it(`shows what a completion would send for ${what}, and writes nothing`, async () => {
      await tell(user('a'), 'A')
      await tell(user('b'), 'B')
      await tell(user('look'), calling('c1'))
      const body = { session_id: session, temperature: 0, ...more }
      const before = await rows()
      const {
        body: shown,
        messages,
        history,
        receipt,
      } = await core.turnlog.context({
        userId: 'ann',
        sessionId: session,
        body,
      })
      expect(await rows()).to.deep.equal(before)
      const turn = await core.turnlog.begin({ userId: 'ann', sessionId: session, body })
      expect(shown).to.deep.equal(turn.body)
      expect(messages).to.deep.equal(turn.messages)
      expect(history).to.deep.equal(turn.history)
      expect(receipt).to.deep.equal({ ...turn.receipt, source: 'postgres' })
      await turn.discard()
    })
  }

  it('is refused as the completion would be', async () => {
    const asking = { userId: 'ann', sessionId: session }
    const long = await faultOf(core.turnlog.context({ ...asking, question: 'word '.repeat(200_000) }))
    expect(long.code).to.equal('context_length_exceeded')
    const orphan = [{ role: 'tool', tool_call_id: 'c9', content: 'x' }]
    expect(await faultOf(core.turnlog.context({ ...asking, question: orphan }))).to.include({
      code: 'invalid_request',
      param: 'messages',
    })
    const foreign = core.turnlog.context({ userId: 'bob', sessionId: session, question: 'q' })
    expect(await faultOf(foreign)).to.include({ code: 'session_not_found' })
  })
})
