import { expect } from 'chai'

import { createTurnlog, type JsonObject, type Turnlog } from '../../lib/index.js'
import { freshMigratedDatabase } from '../services/core.js'

/** Every bound of a question and of a session: at the cap it is taken, one past it is refused, and nothing is stored. */
describe('bounds', () => {
  let database: Awaited<ReturnType<typeof freshMigratedDatabase>>
  let turnlog: Turnlog
  let sessionId: string
  before(async () => {
    database = await freshMigratedDatabase()
    turnlog = createTurnlog({
      database: database.url,
      maxQuestionMessages: 3,
      maxMessageDepth: 10,
      limits: { maxMetadataBytes: 100, maxMetadataDepth: 3, maxPageLimit: 4, maxAppendMessages: 5 },
    })
  })
  beforeEach(async () => {
    sessionId = (await turnlog.sessions.create({ userId: 'ann' })).id
  })
  after(async () => {
    await turnlog.close()
    await database.drop()
  })

  const session = () => ({ userId: 'ann', sessionId })
  const users = (count: number) => Array.from({ length: count }, () => ({ role: 'user', content: 'q' }))
  /** So many arrays, one in the other. */
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
  const refusalOf = async (work: Promise<unknown>): Promise<[number, string]> => {
    const fault = (await work.then(
      () => ({ status: 200, code: 'taken' }),
      (error: unknown) => error,
    )) as { status: number; code: string }
    return [fault.status, fault.code]
  }
  const count = async (): Promise<number> => (await turnlog.messages.list(session()))!.data.length

  it('messages of a question', async () => {
    expect(await refusalOf(turnlog.begin({ ...session(), question: users(4) }))).to.deep.equal([
      413,
      'payload_too_large',
    ])
    expect(await count()).to.equal(0)
    await (await turnlog.begin({ ...session(), question: users(3) })).discard()
  })

  it('depth of a question', async () => {
    // The messages, one of them and its field are levels of their own.
    const deep = (levels: number) => ({ role: 'user', content: 'q', field: nested(levels) })
    expect(await refusalOf(turnlog.begin({ ...session(), question: deep(9) }))).to.deep.equal([
      400,
      'invalid_request',
    ])
    expect(await count()).to.equal(0)
    await (await turnlog.begin({ ...session(), question: deep(8) })).discard()
  })

  it('depth that would overflow a recursion', async () => {
    const question = JSON.parse(
      `{"role":"user","content":"q","field":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    ) as { role: string }
    expect(await refusalOf(turnlog.begin({ ...session(), question }))).to.deep.equal([400, 'invalid_request'])
  })

  it('bytes of metadata', async () => {
    // {"a":"…"} is eight bytes beside the text.
    const change = (bytes: number) =>
      turnlog.sessions.change({ userId: 'ann', id: sessionId, metadata: { a: 'x'.repeat(bytes - 8) } })
    expect(await refusalOf(change(101))).to.deep.equal([400, 'invalid_request'])
    expect((await change(100))!.metadata).to.have.property('a')
  })

  it('depth of metadata', async () => {
    const change = (metadata: JsonObject) =>
      turnlog.sessions.change({ userId: 'ann', id: sessionId, metadata })
    expect(await refusalOf(change({ a: nested(3) }))).to.deep.equal([400, 'invalid_request'])
    expect(await refusalOf(change({ a: nested(2) }))).to.deep.equal([200, 'taken'])
  })

  it('items of a page', async () => {
    for (const list of [
      (limit: number) => turnlog.messages.list({ ...session(), limit }),
      (limit: number) => turnlog.sessions.list({ userId: 'ann', limit }),
    ]) {
      expect(await refusalOf(list(5))).to.deep.equal([400, 'invalid_request'])
      expect(await refusalOf(list(4))).to.deep.equal([200, 'taken'])
    }
  })

  it('messages of an append', async () => {
    const append = (messages: number) => turnlog.messages.append({ ...session(), messages: users(messages) })
    expect(await refusalOf(append(6))).to.deep.equal([400, 'invalid_request'])
    expect(await count()).to.equal(0)
    expect(await refusalOf(append(5))).to.deep.equal([200, 'taken'])
  })

  it('takes 1,000 messages of history for one turn, and not 1,001 or none', async () => {
    const ask = (maxHistoryMessages: number) =>
      refusalOf(turnlog.begin({ ...session(), question: 'q', maxHistoryMessages }))
    expect(await ask(1001)).to.deep.equal([400, 'invalid_request'])
    expect(await ask(0)).to.deep.equal([400, 'invalid_request'])
    expect(await count()).to.equal(0)
    expect(await ask(1000)).to.deep.equal([200, 'taken'])
  })

  it('knows no other fields of a turn, and says which was meant', async () => {
    const request = { ...session(), question: 'q', max_history_messages: 5 }
    const fault = (await turnlog.begin(request).catch((error: unknown) => error)) as Error
    expect(fault.message).to.equal(
      'max_history_messages is not a known field. Did you mean maxHistoryMessages?',
    )
    expect(await count()).to.equal(0)
  })
})
