import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'

import { openCache } from '../../lib/cache/open.js'
import { Beginning, type BeginOptions } from '../../lib/completion/begin.js'
import { Counting } from '../../lib/completion/counting.js'
import { Ending } from '../../lib/completion/ending.js'
import { createTurnlog, type Message, type Turn, type Turnlog } from '../../lib/index.js'
import { PostgresStore } from '../../lib/store/postgres.js'
import { openaiChat } from '../../lib/wire/openai.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { aBegin, begun } from '../store/asking.js'

const faultOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )
const spoken = (messages: readonly Message[]): string[] => messages.map(({ content }) => String(content))

describe('turns of one session at once', () => {
  let core: FreshCore
  let turnlog: Turnlog
  let other: Turnlog
  let store: PostgresStore
  before(async () => {
    core = await freshCore()
    turnlog = core.turnlog
    other = createTurnlog({ database: core.url })
    store = new PostgresStore({ database: core.url })
  })
  after(async () => {
    await other.close()
    await store.close()
    await core.end()
  })

  const newSession = async (): Promise<string> => (await turnlog.sessions.create({ userId: 'ann' })).id
  const said = async (sessionId: string): Promise<string[]> => {
    const page = await turnlog.messages.list({ userId: 'ann', sessionId })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }
  const ask = (sessionId: string, question: string, concurrency?: 'reject' | 'enqueue'): Promise<Turn> =>
    turnlog.begin({ userId: 'ann', sessionId, question, ...(concurrency && { concurrency }) })
  /** Resolves once the session lists this many questions. */
  const untilListed = async (sessionId: string, count: number): Promise<void> => {
    while ((await said(sessionId)).length < count) await sleep(10)
  }

  it('run side by side by default, and see what was finished when they began', async () => {
    const session = await newSession()
    const slow = await ask(session, 'slow')
    const quick = await ask(session, 'quick')
    await quick.complete('q')
    await slow.complete('s')
    expect(spoken(quick.messages)).to.deep.equal(['quick'])
    expect(spoken((await ask(session, 'next')).messages)).to.deep.equal(['slow', 's', 'quick', 'q', 'next'])
  })

  it('are refused with reject while one is open, in this process and in another', async () => {
    const session = await newSession()
    const first = await ask(session, 'one', 'reject')
    for (const each of [turnlog, other]) {
      const begin = each.begin({ userId: 'ann', sessionId: session, question: 'two', concurrency: 'reject' })
      expect(await faultOf(begin)).to.include({
        code: 'turn_in_progress',
        status: 409,
        retryAfterSeconds: 1,
      })
    }
    await first.complete('1')
    const second = await ask(session, 'two', 'reject')
    expect(spoken(second.messages)).to.deep.equal(['one', '1', 'two'])
    await second.complete('2')
    expect(await said(session)).to.have.length(4)
  })

  it('wait for their place with enqueue, in the order of their numbers, and see every answer before them', async () => {
    const session = await newSession()
    const first = await ask(session, 'one', 'enqueue')
    const second = ask(session, 'two', 'enqueue')
    await untilListed(session, 2)
    const third = other.begin({
      userId: 'ann',
      sessionId: session,
      question: 'three',
      concurrency: 'enqueue',
    })
    await untilListed(session, 3)
    await first.complete('1')
    const next = await second
    expect([next.number, ...spoken(next.messages)]).to.deep.equal([2, 'one', '1', 'two'])
    await next.fail()
    const last = await third
    expect([last.number, ...spoken(last.messages)]).to.deep.equal([3, 'one', '1', 'three'])
    await last.complete('3')
    expect(spoken((await ask(session, 'four')).messages)).to.deep.equal(['one', '1', 'three', '3', 'four'])
  })

  it('wait no longer than queueTimeoutMs: 409, and the question has failed', async () => {
    const own = createTurnlog({ database: core.url, queueTimeoutMs: 50, concurrency: 'enqueue' })
    const session = await newSession()
    const first = await own.begin({ userId: 'ann', sessionId: session, question: 'one' })
    const late = await faultOf(own.begin({ userId: 'ann', sessionId: session, question: 'two' }))
    expect(late).to.include({ code: 'turn_in_progress', status: 409, retryAfterSeconds: 1 })
    expect(await said(session)).to.deep.equal(['open user: one', 'failed user: two'])
    await first.complete('1')
    const third = await own.begin({ userId: 'ann', sessionId: session, question: 'three' })
    expect(spoken(third.messages)).to.deep.equal(['one', '1', 'three'])
    await own.close({ drainMs: 0 })
  })

  it('leave the queue when their signal aborts, and when the process closes', async () => {
    const own = createTurnlog({ database: core.url, concurrency: 'enqueue' })
    const session = await newSession()
    const first = await ask(session, 'one')
    const gone = new AbortController()
    const [aborted, closed] = ['two', 'three'].map((question, index) =>
      faultOf(
        own.begin({
          userId: 'ann',
          sessionId: session,
          question,
          ...(index === 0 && { signal: gone.signal }),
        }),
      ),
    )
    await untilListed(session, 3)
    gone.abort(new Error('gone'))
    expect(await aborted).to.have.property('message', 'gone')
    await own.close({ drainMs: 0 })
    expect(await closed).to.include({ code: 'history_unavailable', status: 503 })
    await first.complete('1')
    expect((await said(session)).filter((line) => line.startsWith('failed'))).to.have.length(2)
  })

  it('leave out what they replace, also when they waited', async () => {
    const session = await newSession()
    const first = await ask(session, 'one')
    await first.complete('1')
    const key = { userId: 'ann', sessionId: session, question: 'two', key: 'k' }
    await (await turnlog.begin(key)).interrupt('half')
    const running = await ask(session, 'three')
    const again = turnlog.begin({ ...key, concurrency: 'enqueue' })
    await untilListed(session, 4)
    await running.complete('3')
    expect(spoken((await again).messages)).to.deep.equal(['one', '1', 'three', '3', 'two'])
  })

  it('go on when the turn before them was left open by a process that died', async () => {
    const session = await newSession()
    await begun(store, aBegin({ userId: 'ann', sessionId: session }, { leaseMs: 500 }))
    const next = await ask(session, 'next', 'enqueue')
    expect(next.number).to.equal(2)
    expect(spoken(next.messages)).to.deep.equal(['a question', 'next'])
    expect(await said(session)).to.include('interrupted user: a question')
  })

  it('answer a tool call from the queue', async () => {
    const session = await newSession()
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }
    const first = await ask(session, 'weather?')
    await first.complete({ role: 'assistant', content: null, tool_calls: [call] })
    const between = await ask(session, 'and another thing')
    const step = turnlog.begin({
      userId: 'ann',
      sessionId: session,
      question: { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
      concurrency: 'enqueue',
    })
    await untilListed(session, 4)
    await between.complete('yes?')
    expect((await step).messages.map(({ role }) => role)).to.deep.equal(['user', 'assistant', 'tool'])
  })

  describe('a lease', () => {
    /** A core whose leases are short enough to run out in a test. */
    const aBeginning = (options: Partial<BeginOptions>): Beginning => {
      const cache = openCache({
        redis: undefined,
        windowTtlSeconds: 60,
        maxMemoryBytes: 1_000_000,
        onState: () => undefined,
      })
      const ending = new Ending(store, cache, {
        onStoreFailure: 'deliver',
        includeFailedQuestions: false,
        deferredCapacity: 1,
        deferredBytes: 1_000_000,
        onFault: () => undefined,
      })
      const counting = new Counting({ onFault: () => undefined })
      return new Beginning(store, cache, ending, counting, undefined, {
        format: openaiChat,
        concurrency: 'allow',
        newSession: {},
        firstLeaseMs: 1_500,
        leaseMs: 3_000,
        longestTurnMs: 60_000,
        longestWaitMs: 60_000,
        maxQuestionMessages: 10,
        maxDepth: 10,
        recorderLimits: {},
        trim: 'sliding',
        reconcile: { onDiverge: 'append' },
        ...options,
      })
    }

    it('is renewed while the answer streams: another begin does not close the turn', async () => {
      const session = await newSession()
      const turn = await aBeginning({}).begin({ userId: 'ann', sessionId: session, question: 'slow' })
      await sleep(2_000)
      expect(await faultOf(ask(session, 'other', 'reject'))).to.have.property('code', 'turn_in_progress')
      expect(await said(session)).to.deep.equal(['open user: slow'])
      expect(await turn.complete('at last')).to.equal('stored')
    })

    it('is renewed while the turn waits in the queue', async () => {
      const session = await newSession()
      const first = await ask(session, 'one')
      const waiting = aBeginning({ concurrency: 'enqueue' }).begin({
        userId: 'ann',
        sessionId: session,
        question: 'two',
      })
      await untilListed(session, 2)
      await sleep(2_000)
      await (await ask(session, 'three')).discard()
      expect(await said(session)).to.deep.equal(['open user: one', 'open user: two'])
      await first.complete('1')
      expect(await (await waiting).complete('2')).to.equal('stored')
    })

    it('that ran out closes the turn as interrupted, and its owner may still answer', async () => {
      const session = await newSession()
      const call = aBegin({ userId: 'ann', sessionId: session }, { leaseMs: 0, nonce: randomUUID() })
      await begun(store, call)
      expect(spoken((await ask(session, 'next')).messages)).to.deep.equal(['a question', 'next'])
      expect(await said(session)).to.deep.equal(['interrupted user: a question', 'open user: next'])
    })
  })
})
