import { expect } from 'chai'

import { createTurnlog, InvalidRequest, type Message, type Turn, type Turnlog } from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'

const faultOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )
const spoken = (messages: readonly Message[]): string[] =>
  messages.map(({ role, content }) => `${role}: ${String(content)}`)

describe('regenerate', () => {
  let core: FreshCore
  let turnlog: Turnlog
  let sessionId: string
  before(async () => {
    core = await freshCore()
    turnlog = core.turnlog
  })
  beforeEach(async () => {
    sessionId = (await turnlog.sessions.create({ userId: 'ann' })).id
  })
  after(() => core.end())

  const begin = (more: object): Promise<Turn> => turnlog.begin({ userId: 'ann', sessionId, ...more })
  const ask = async (question: string, answer: string | Message): Promise<void> => {
    await (await begin({ question })).complete(answer)
  }
  const said = async (include?: 'superseded'): Promise<string[]> => {
    const page = await turnlog.messages.list({ userId: 'ann', sessionId, ...(include && { include }) })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }

  it('asks the last question again, and supersedes its answer when the new one is done', async () => {
    await ask('one', '1')
    await ask('two', 'worse')
    const again = await begin({ regenerate: true })
    expect(spoken(again.messages)).to.deep.equal(['user: one', 'assistant: 1', 'user: two'])
    expect((await said()).slice(2, 4)).to.deep.equal(['done user: two', 'done assistant: worse'])
    await again.complete('better')
    const now = ['done user: one', 'done assistant: 1', 'done user: two', 'done assistant: better']
    expect(await said()).to.deep.equal(now)
    expect(await said('superseded')).to.include('superseded assistant: worse')
    const next = await begin({ question: 'three' })
    expect(spoken(next.messages)).to.deep.equal([
      'user: one',
      'assistant: 1',
      'user: two',
      'assistant: better',
      'user: three',
    ])
  })

  it('works from a body without messages, which the provider gets with them', async () => {
    await ask('one', '1')
    const turn = await begin({ body: { session_id: sessionId, model: 'm', regenerate: true } })
    expect(turn.body).to.deep.equal({ model: 'm', messages: [{ role: 'user', content: 'one' }] })
  })

  it('takes another question in place of the last one', async () => {
    await ask('one', '1')
    const turn = await begin({ question: 'uno', regenerate: true })
    expect(spoken(turn.messages)).to.deep.equal(['user: uno'])
    await turn.complete('1')
    expect(await said()).to.deep.equal(['done user: uno', 'done assistant: 1'])
  })

  it('keeps the answer that is there when the new one fails', async () => {
    await ask('one', '1')
    await (await begin({ regenerate: true })).fail()
    const next = await begin({ question: 'two' })
    expect(spoken(next.messages)).to.deep.equal(['user: one', 'assistant: 1', 'user: two'])
  })

  it('answers a tool’s results again, within their exchange', async () => {
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }
    await ask('weather?', { role: 'assistant', content: null, tool_calls: [call] })
    const step = await begin({ question: { role: 'tool', tool_call_id: 'c1', content: 'sunny' } })
    await step.complete('It is sunny.')
    const again = await begin({ regenerate: true })
    expect(again.messages.map(({ role }) => role)).to.deep.equal(['user', 'assistant', 'tool'])
    await again.complete('Sun all day.')
    expect((await said()).slice(2)).to.deep.equal(['done tool: sunny', 'done assistant: Sun all day.'])
  })

  it('asked twice at once leaves one answer, the one that came last', async () => {
    await ask('one', '1')
    const first = await begin({ regenerate: true })
    const second = await begin({ regenerate: true })
    await second.complete('second')
    await first.complete('first')
    expect(await said()).to.deep.equal(['done user: one', 'done assistant: first'])
    const third = await begin({ question: 'two' })
    expect(spoken(third.messages)).to.deep.equal(['user: one', 'assistant: first', 'user: two'])
    expect((await turnlog.sessions.find({ userId: 'ann', id: sessionId }))?.messageCount).to.equal(3)
  })

  it('asked twice at once for a tool’s results leaves them once', async () => {
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }
    await ask('weather?', { role: 'assistant', content: null, tool_calls: [call] })
    await (await begin({ question: { role: 'tool', tool_call_id: 'c1', content: 'sunny' } })).complete('a')
    const steps = [await begin({ regenerate: true }), await begin({ regenerate: true })]
    for (const [index, step] of steps.entries()) await step.complete(`again ${index}`)
    expect((await said()).slice(2)).to.deep.equal(['done tool: sunny', 'done assistant: again 1'])
  })

  it('sees what was answered while it waited in the queue, but for what it replaces', async () => {
    await ask('one', '1')
    const running = await begin({ question: 'two' })
    const again = begin({ regenerate: true, concurrency: 'enqueue' })
    while ((await said()).length < 4) await new Promise((resolve) => setTimeout(resolve, 10))
    await running.complete('2')
    expect(spoken((await again).messages)).to.deep.equal(['user: two', 'assistant: 2', 'user: one'])
  })

  it('is given again under its key, and is another request than the question itself', async () => {
    await ask('one', '1')
    await (await begin({ regenerate: true, key: 'k' })).complete('better')
    expect((await begin({ regenerate: true, key: 'k' })).status).to.equal('replayed')
    expect(await faultOf(begin({ question: 'one', key: 'k' }))).to.have.property(
      'code',
      'idempotency_key_reused',
    )
  })

  it('holds a given question to the roles that are accepted', async () => {
    const own = createTurnlog({ database: core.url, acceptRoles: ['user'] })
    await ask('one', '1')
    const question = { role: 'system', content: 'obey' }
    const body = { messages: [question, { role: 'user', content: 'x' }], regenerate: true }
    const fault = await faultOf(own.begin({ userId: 'ann', sessionId, body }))
    expect(fault).to.be.instanceOf(InvalidRequest)
    expect(await said()).to.have.length(2)
    await own.close()
  })

  it('says when there is nothing to ask again', async () => {
    for (const wrong of [{ regenerate: true }, { body: { regenerate: 'yes' } }]) {
      const fault = await faultOf(begin(wrong))
      expect(fault).to.be.instanceOf(InvalidRequest).with.property('param', 'regenerate')
    }
  })
})
