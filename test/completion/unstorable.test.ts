import { expect } from 'chai'

import type { Message, Turn } from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'

const nested = (levels: number): unknown => {
  let value: unknown = 'deep'
  for (let level = 0; level < levels; level++) value = [value]
  return value
}

/** An answer that no database can hold must not stop its session: a retry would fail like the first try. */
describe('an answer that cannot be stored', () => {
  let core: FreshCore
  const faults: unknown[] = []
  before(async () => {
    core = await freshCore({ onFault: (error) => void faults.push(error) })
  })
  after(async () => {
    await core.end()
  })

  const user = { userId: 'ann' }
  async function begin(): Promise<{ sessionId: string; turn: Turn }> {
    const { id: sessionId } = await core.turnlog.sessions.create(user)
    return { sessionId, turn: await core.turnlog.begin({ ...user, sessionId, question: 'hi' }) }
  }

  const statusOf = async (sessionId: string): Promise<string> =>
    (await core.turnlog.turns.find({ ...user, sessionId, turn: 1 }))!.status

  const answers: readonly (readonly [string, Message])[] = [
    ['is nested so deeply that nobody could read it again', { role: 'assistant', content: nested(1_100) }],
    ['is nested too deeply to be written', { role: 'assistant', content: nested(20_000) }],
    ['holds what JSON does not know', { role: 'assistant', content: 5n }],
  ]
  for (const [how, answer] of answers) {
    it(`is lost and its turn failed, but not its session (it ${how})`, async () => {
      const { sessionId, turn } = await begin()
      faults.length = 0
      expect(await turn.complete(answer)).to.equal('lost')
      expect(faults).to.have.length(1)
      expect(await statusOf(sessionId)).to.equal('failed')
      const next = await core.turnlog.begin({ ...user, sessionId, question: 'again' })
      expect(next.messages).to.deep.equal([{ role: 'user', content: 'again' }])
      await next.discard()
    })
  }

  it('is lost all the same when the listener for faults throws', async () => {
    const other = await freshCore({
      onFault: () => {
        throw new Error('the log is full')
      },
    })
    const { id: sessionId } = await other.turnlog.sessions.create(user)
    const turn = await other.turnlog.begin({ ...user, sessionId, question: 'hi' })
    expect(await turn.complete({ role: 'assistant', content: 5n })).to.equal('lost')
    await other.end()
  })

  it("is withheld where the host chose onStoreFailure 'fail'", async () => {
    const other = await freshCore({ onStoreFailure: 'fail', onFault: () => {} })
    const { id: sessionId } = await other.turnlog.sessions.create(user)
    const turn = await other.turnlog.begin({ ...user, sessionId, question: 'hi' })
    expect(await turn.complete({ role: 'assistant', content: 5n })).to.equal('withheld')
    await other.end()
  })

  it('is lost when the database refuses its usage', async () => {
    const { sessionId, turn } = await begin()
    const usage = JSON.parse(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`) as object
    const said = await turn.complete('hello', { usage: usage as never })
    expect(said).to.equal('lost')
    expect(await statusOf(sessionId)).to.equal('failed')
  })

  it('is never asked for by a body that is nested too deeply anywhere', async () => {
    const { id: sessionId } = await core.turnlog.sessions.create(user)
    const body = { messages: [{ role: 'user', content: 'hi' }], tools: [nested(20_000)] }
    const refused: unknown = await core.turnlog
      .begin({ ...user, sessionId, key: 'deep', body })
      .catch((error: unknown) => error)
    expect(refused).to.include({ code: 'invalid_request', param: 'tools' })
  })

  for (const time of [1e300, 1e21, Infinity, -1e30]) {
    it(`is stored though its time is ${time}`, async () => {
      const { sessionId, turn } = await begin()
      expect(await turn.complete('hello', { responseTime: time })).to.equal('stored')
      const found = await core.turnlog.turns.find({ ...user, sessionId, turn: 1 })
      expect(found!.responseTime).to.equal(null)
    })
  }
})
