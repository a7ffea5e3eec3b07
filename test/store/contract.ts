import { randomUUID } from 'node:crypto'

import { expect } from 'chai'

import { InvalidRequest } from '../../lib/model/errors.js'
import type { PageRequest } from '../../lib/model/page.js'
import type { SessionKey } from '../../lib/model/session.js'
import type { BeginCall, BeginResult, Store } from '../../lib/store/store.js'
import { callersAtOnce } from './at-once.js'
import { aBegin, aComplete, aSession, ask, assistant, begun, calling } from './asking.js'
import { history, listed, result, spoken, system, user } from './asking.js'

export interface StoreUnderTest {
  readonly name: string
  /** A store, which the suite makes ready and closes. */
  readonly start: () => Promise<Store>
}

type Get = () => Store

/** What every store promises, as mocha tests. Call it at the top of a test file. */
export function storeContract({ name, start }: StoreUnderTest): void {
  describe(`${name}: store`, () => {
    let store: Store | undefined
    before(async function () {
      this.timeout(60_000)
      store = await start()
      await store.ready()
    })
    after(() => store?.close())

    const get = (): Store => store!
    describe('sessions', () => keepsSessions(get))
    describe('listing sessions', () => listsSessions(get))
    describe('a turn', () => keepsTurns(get))
    describe('a key', () => knowsKeys(get))
    describe('open turns', () => minds(get))
    describe('endings', () => ends(get))
    describe('history', () => readsHistory(get))
    describe('tool steps', () => joinsExchanges(get))
    describe('system messages', () => pinsSystem(get))
    describe('regenerating', () => replacesTurns(get))
    describe('summaries', () => summarizes(get))
    describe('clearing', () => clears(get))
    describe('deleting a message', () => deletesMessages(get))
    describe('forking', () => forks(get))
    describe('restoring', () => restores(get))
    describe('listing messages', () => listsMessages(get))
    describe('a lease', () => leases(get))
    describe('purging', () => purges(get))
    describe('callers at once', () => callersAtOnce(get))
    describe('another user', () => isolates(get))
    describe('wrong arguments', () => refuses(get))
  })
}

function keepsSessions(get: Get): void {
  it('creates a session with its defaults', async () => {
    const key = await aSession(get())
    const session = await get().findSession(key)
    expect(session).to.include({ id: key.sessionId, name: null, model: null, maxHistoryMessages: 20 })
    expect(session).to.include({ messageCount: 0, ttlSeconds: null, lastMessageAt: null, expiresAt: null })
    expect(session?.metadata).to.deep.equal({})
    expect(session?.createdAt).to.be.instanceOf(Date)
  })

  it('keeps what it was created with', async () => {
    const metadata = { tag: 'a\0b', lone: '\ud800', deep: { list: [1, null] } }
    const key = await aSession(get(), {
      name: 'n',
      model: 'm',
      maxHistoryMessages: 7,
      metadata,
      ttlSeconds: 60,
    })
    const session = await get().findSession(key)
    expect(session).to.include({ name: 'n', model: 'm', maxHistoryMessages: 7, ttlSeconds: 60 })
    expect(session?.metadata).to.deep.equal(metadata)
    expect(session?.expiresAt?.getTime()).to.equal(session!.createdAt.getTime() + 60_000)
  })

  it('does not create an id twice, but another user may have it', async () => {
    const key = await aSession(get())
    expect(await get().createSession(key)).to.equal(undefined)
    const other = await get().createSession({ ...key, userId: `other-${key.userId}` })
    expect(other?.id).to.equal(key.sessionId)
  })

  it('changes the fields given and no other', async () => {
    const key = await aSession(get(), { name: 'old', model: 'm', ttlSeconds: 60, metadata: { a: 1 } })
    const changed = await get().changeSession({ ...key, name: 'new', ttlSeconds: null })
    expect(changed).to.include({ name: 'new', model: 'm', ttlSeconds: null, expiresAt: null })
    expect(changed?.metadata).to.deep.equal({ a: 1 })
    expect(await get().findSession(key)).to.deep.equal(changed)
  })

  it('finds nothing of a deleted session, and its id stays taken', async () => {
    const key = await aSession(get())
    const call = aBegin(key)
    const { turn } = await begun(get(), call)
    expect(await get().deleteSession(key)).to.equal(true)
    await findsNothing(get(), key)
    expect(await get().completeTurn(aComplete(call, turn))).to.deep.equal({ status: 'no_session' })
    expect(await get().createSession(key)).to.equal(undefined)
    expect(await get().beginTurn(aBegin(key, { create: {} }))).to.deep.equal({ status: 'no_session' })
  })

  it('counts a user’s sessions, messages, tokens and bytes, of what can be found', async () => {
    const key = await aSession(get())
    const other = { ...key, sessionId: `sess_${randomUUID()}` }
    await get().createSession(other)
    expect(await get().stats(key.userId)).to.deep.equal({ sessions: 2, messages: 0, tokens: 0, bytes: 0 })
    const question = [{ ...user('héllo'), tokens: 5 }]
    await ask(get(), key, { question }, { answer: [{ ...assistant('yes'), tokens: 2 }] })
    const { call, turn } = await ask(get(), other, { question }, { answer: [assistant('not counted')] })
    const all = { sessions: 2, messages: 4, tokens: 12, bytes: 6 + 3 + 6 + 11 }
    expect(await get().stats(key.userId)).to.deep.equal(all)
    expect((await get().completeTurn(aComplete(call, turn))).status).to.equal('repeated')
    expect(await get().stats(key.userId)).to.deep.equal(all)

    await get().deleteSession(other)
    const one = { sessions: 1, messages: 2, tokens: 7, bytes: 9 }
    expect(await get().stats(key.userId)).to.deep.equal(one)
    await get().restoreSession(other)
    expect(await get().stats(key.userId)).to.deep.equal(all)
    await get().clearSession(other)
    expect(await get().stats(key.userId)).to.deep.equal({ ...one, sessions: 2 })
    await get().forkSession({ ...key, to: `sess_${randomUUID()}` })
    expect(await get().stats(key.userId)).to.deep.equal({ sessions: 3, messages: 4, tokens: 14, bytes: 18 })
    await get().deleteMessage({ ...key, turn: 1, part: 0 })
    expect(await get().stats(key.userId)).to.deep.equal({ ...one, sessions: 3 })
    expect(await get().stats(`user-${randomUUID()}`)).to.deep.equal({
      sessions: 0,
      messages: 0,
      tokens: 0,
      bytes: 0,
    })
  })

  it('finds nothing of an expired session', async () => {
    const key = await aSession(get(), { ttlSeconds: 1 })
    await untilExpired(get(), key)
    await findsNothing(get(), key)
    expect((await get().listSessions(key.userId, { limit: 10 })).data).to.deep.equal([])
  })

  it('lets a turn push the expiry on', async () => {
    const key = await aSession(get(), { ttlSeconds: 60 })
    const before = await get().findSession(key)
    // Times are read to the millisecond, and a turn may take less.
    await new Promise((resolve) => setTimeout(resolve, 5))
    await ask(get(), key)
    const after = await get().findSession(key)
    expect(after!.expiresAt!.getTime()).to.be.greaterThan(before!.expiresAt!.getTime())
  })

  it('creates the session with the turn when asked', async () => {
    const key = { userId: `user-${randomUUID()}`, sessionId: 'mine' }
    const turn = await begun(
      get(),
      aBegin(key, { create: { name: 'made', maxHistoryMessages: 3, ttlSeconds: 90 } }),
    )
    expect(turn.settings).to.deep.equal({ model: null, maxHistoryMessages: 3 })
    expect(await get().findSession(key)).to.include({ name: 'made', messageCount: 1, ttlSeconds: 90 })
  })
}

async function untilExpired(store: Store, key: SessionKey): Promise<void> {
  while ((await store.findSession(key)) !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Unknown, foreign, deleted and expired look the same. */
async function findsNothing(store: Store, key: SessionKey): Promise<void> {
  expect(await store.findSession(key)).to.equal(undefined)
  expect(await store.changeSession({ ...key, name: 'x' })).to.equal(undefined)
  expect(await store.deleteSession(key)).to.equal(false)
  expect(await store.clearSession(key)).to.equal(false)
  expect(await store.deleteMessage({ ...key, turn: 1, part: 0 })).to.equal(undefined)
  expect(await store.forkSession({ ...key, to: 'elsewhere' })).to.equal(undefined)
  expect(await store.listMessages(key, { limit: 10 })).to.equal(undefined)
  expect(await store.readHistory(key)).to.equal(undefined)
  expect(await store.findTurn({ ...key, turn: 1 })).to.equal(undefined)
  expect(await store.findFinishedTurn({ ...key, turn: 1 })).to.equal(undefined)
  expect(await store.openBefore({ ...key, turn: 2 })).to.equal(undefined)
  expect(await store.beginTurn(aBegin(key))).to.deep.equal({ status: 'no_session' })
}

function listsSessions(get: Get): void {
  const idsOf = async (userId: string, page: PageRequest): Promise<string[]> =>
    (await get().listSessions(userId, page)).data.map((session) => session.id)

  it('lists the newest activity first', async () => {
    const userId = `user-${randomUUID()}`
    for (const sessionId of ['a', 'b', 'c']) await get().createSession({ userId, sessionId })
    await ask(get(), { userId, sessionId: 'a' })
    await ask(get(), { userId, sessionId: 'b' })
    await ask(get(), { userId, sessionId: 'a' })
    expect(await idsOf(userId, { limit: 10 })).to.deep.equal(['a', 'b', 'c'])
    await ask(get(), { userId, sessionId: 'c' })
    expect(await idsOf(userId, { limit: 10 })).to.deep.equal(['c', 'a', 'b'])
  })

  it('pages forth and back without a gap', async () => {
    const userId = `user-${randomUUID()}`
    for (let n = 0; n < 7; n++) await get().createSession({ userId, sessionId: `s${n}` })
    const first = await get().listSessions(userId, { limit: 3 })
    expect(first.hasMore).to.equal(true)
    const second = await get().listSessions(userId, { limit: 3, after: first.nextCursor! })
    const third = await get().listSessions(userId, { limit: 3, after: second.nextCursor! })
    expect(third.hasMore).to.equal(false)
    const all = [first, second, third].flatMap((page) => page.data.map((session) => session.id))
    expect(all).to.deep.equal(await idsOf(userId, { limit: 100 }))
    expect(new Set(all).size).to.equal(7)
    const before = await get().listSessions(userId, { limit: 2, before: third.nextCursor! })
    expect(before.data.map((session) => session.id)).to.deep.equal(all.slice(4, 6))
    expect(await idsOf(userId, { limit: 3, before: before.nextCursor! })).to.deep.equal(all.slice(1, 4))
    expect(await idsOf(userId, { limit: 2, offset: 5 })).to.deep.equal(all.slice(5))
  })

  it('is empty for a user without sessions', async () => {
    const page = await get().listSessions(`user-${randomUUID()}`, { limit: 5 })
    expect(page).to.deep.equal({ data: [], hasMore: false, nextCursor: null })
  })
}

function keepsTurns(get: Get): void {
  it('numbers turns, stores question and answer, and counts them', async () => {
    const key = await aSession(get())
    const first = await ask(get(), key, { question: [user('one')] }, { answer: [assistant('1')] })
    const second = await ask(get(), key, { question: [user('two')] }, { answer: [assistant('2')] })
    expect([first.turn, second.turn, first.parts]).to.deep.equal([1, 2, 1])
    expect(second.history?.turns.map((turn) => turn.turn)).to.deep.equal([1])
    expect(await listed(get(), key)).to.deep.equal(['user:one', 'assistant:1', 'user:two', 'assistant:2'])
    expect(await history(get(), key)).to.deep.equal(await listed(get(), key))
    expect((await get().findSession(key))?.lastMessageAt).to.be.instanceOf(Date)
  })

  it('lists the question of an open turn and leaves it out of the history', async () => {
    const key = await aSession(get())
    await begun(get(), aBegin(key, { question: [user('still open')] }))
    expect(await listed(get(), key)).to.deep.equal(['user:still open'])
    expect(await history(get(), key)).to.deep.equal([])
    const page = await get().listMessages(key, { limit: 1 })
    expect(page?.data[0]).to.include({ id: 'msg_1_0', turn: 1, part: 0, exchange: 1, status: 'open' })
  })

  it('keeps what the provider said of the answer', async () => {
    const key = await aSession(get())
    const said = { model: 'm2', responseId: 'chatcmpl-1', responseTime: 1_700_000_000, finishReason: 'stop' }
    const usage = { total_tokens: 3, note: '\0' }
    const receipt = { injected: 1, dropped: 0, source: 'postgres' as const }
    const { turn } = await ask(get(), key, { model: 'm1' }, { ...said, usage, receipt })
    const record = await get().findTurn({ ...key, turn })
    expect(record).to.deep.include({ ...said, usage, receipt, status: 'done', format: 'openai', exchange: 1 })
    expect(record?.closedAt).to.be.instanceOf(Date)
    const finished = await get().findFinishedTurn({ ...key, turn })
    expect(spoken(finished!.messages)).to.deep.equal(['user:a question', 'assistant:an answer'])
  })

  it('finds the turn again that the same nonce began, open or closed', async () => {
    const key = await aSession(get())
    const call = aBegin(key, { key: 'k' })
    const first = await begun(get(), call)
    expect(await get().beginTurn(call)).to.deep.equal(first)
    await get().completeTurn(aComplete(call, first.turn))
    expect(await get().beginTurn(call)).to.include({ status: 'begun', turn: 1, parts: 1 })
    expect(await listed(get(), key)).to.deep.equal(['user:a question', 'assistant:an answer'])
  })

  it('moves the revision once with a completion, and says from where', async () => {
    const key = await aSession(get())
    const { revision, completed, call, turn } = await ask(get(), key)
    const now = await get().readHistory(key)
    expect(completed).to.deep.equal({ status: 'completed', from: revision, to: now?.history.revision })
    expect(revision).to.not.equal(now?.history.revision)
    expect(await get().completeTurn(aComplete(call, turn))).to.deep.equal({ status: 'repeated' })
    expect((await get().readHistory(key))?.history.revision).to.equal(now?.history.revision)
  })

  it('lets only the owner complete a turn', async () => {
    const key = await aSession(get())
    const call = aBegin(key)
    const { turn } = await begun(get(), call)
    const stranger = aComplete({ ...call, nonce: randomUUID() }, turn)
    expect(await get().completeTurn(stranger)).to.deep.equal({ status: 'closed', as: 'open' })
    expect(await get().completeTurn(aComplete(call, 99))).to.deep.equal({ status: 'closed' })
    expect(await get().completeTurn(aComplete(call, turn))).to.include({ status: 'completed' })
  })
}

function knowsKeys(get: Get): void {
  it('is running while its turn is open, then finished', async () => {
    const key = await aSession(get())
    const call = aBegin(key, { key: 'k', requestHash: 'h' })
    const { turn } = await begun(get(), call)
    const again = (): Promise<BeginResult> => get().beginTurn(aBegin(key, { key: 'k', requestHash: 'h' }))
    expect(await again()).to.deep.equal({ status: 'running', turn })
    await get().completeTurn(aComplete(call, turn))
    expect(await again()).to.deep.equal({ status: 'finished', turn })
    expect((await get().findSession(key))?.messageCount).to.equal(2)
  })

  it('is refused with another request, whatever became of its turn', async () => {
    const key = await aSession(get())
    await ask(get(), key, { key: 'k', requestHash: 'h' })
    const other = aBegin(key, { key: 'k', requestHash: 'other' })
    expect(await get().beginTurn(other)).to.deep.equal({ status: 'mismatch', turn: 1 })
  })

  for (const ending of ['failed', 'interrupted'] as const) {
    it(`runs again after its turn was ${ending}, and the new turn supersedes the old`, async () => {
      const key = await aSession(get())
      const answer = ending === 'failed' ? [] : [assistant('par')]
      await ask(get(), key, { key: 'k', question: [user('q')] }, { ending, answer })
      const second = await ask(
        get(),
        key,
        { key: 'k', question: [user('q')] },
        { answer: [assistant('whole')] },
      )
      expect(second).to.include({ turn: 2, replaces: 1 })
      expect((await get().findTurn({ ...key, turn: 1 }))?.status).to.equal('superseded')
      expect(await listed(get(), key)).to.deep.equal(['user:q', 'assistant:whole'])
      expect(await history(get(), key)).to.deep.equal(['user:q', 'assistant:whole'])
      expect(await get().beginTurn(aBegin(key, { key: 'k' }))).to.deep.equal({ status: 'finished', turn: 2 })
    })
  }

  it('is one session’s own', async () => {
    const key = await aSession(get())
    const other = { ...key, sessionId: 'other' }
    await get().createSession(other)
    await ask(get(), key, { key: 'k' })
    expect(await get().beginTurn(aBegin(other, { key: 'k' }))).to.include({ status: 'begun', turn: 1 })
  })

  it('does not bring a superseded turn’s late owner back', async () => {
    const key = await aSession(get())
    const late = aBegin(key, { key: 'k', leaseMs: 0 })
    const { turn } = await begun(get(), late)
    await ask(get(), key, { key: 'k' })
    expect(await get().completeTurn(aComplete(late, turn))).to.deep.equal({
      status: 'closed',
      as: 'superseded',
    })
    expect(await get().beginTurn(late)).to.include({ status: 'begun', turn: 1 })
    expect(await listed(get(), key)).to.have.length(2)
  })
}

function minds(get: Get): void {
  it('lets turns run side by side by default', async () => {
    const key = await aSession(get())
    const slow = aBegin(key, { question: [user('slow')] })
    const first = await begun(get(), slow)
    await ask(get(), key, { question: [user('quick')] }, { answer: [assistant('q')] })
    expect(await history(get(), key)).to.deep.equal(['user:quick', 'assistant:q'])
    await get().completeTurn(aComplete(slow, first.turn, { answer: [assistant('s')] }))
    expect(await history(get(), key)).to.deep.equal(['user:slow', 'assistant:s', 'user:quick', 'assistant:q'])
  })

  it('rejects a second turn when asked to, until the first is closed', async () => {
    const key = await aSession(get())
    const call = aBegin(key, { concurrency: 'reject' })
    const { turn } = await begun(get(), call)
    const second = aBegin(key, { concurrency: 'reject' })
    expect(await get().beginTurn(second)).to.deep.equal({ status: 'busy', turn })
    expect(await get().beginTurn(call)).to.include({ status: 'begun', turn })
    await get().completeTurn(aComplete(call, turn))
    expect(await get().beginTurn(second)).to.include({ status: 'begun', turn: 2 })
  })

  it('numbers an enqueued turn at once and gives it no history while it waits', async () => {
    const key = await aSession(get())
    const call = aBegin(key)
    const { turn } = await begun(get(), call)
    const queued = await begun(get(), aBegin(key, { concurrency: 'enqueue' }))
    expect(queued).to.include({ turn: 2, waitsFor: 1 })
    expect(queued).to.not.have.property('history')
    expect(await get().openBefore({ ...key, turn: 2 })).to.equal(1)
    await get().completeTurn(aComplete(call, turn))
    expect(await get().openBefore({ ...key, turn: 2 })).to.equal(undefined)
    expect(await history(get(), key)).to.deep.equal(['user:a question', 'assistant:an answer'])
  })

  it('closes a turn whose lease ran out as interrupted, at the next begin', async () => {
    const key = await aSession(get())
    await begun(get(), aBegin(key, { leaseMs: 0, question: [user('lost')] }))
    const next = await begun(get(), aBegin(key, { concurrency: 'reject' }))
    expect(next.history?.turns[0]).to.include({ turn: 1, status: 'interrupted' })
    expect(await get().findTurn({ ...key, turn: 1 })).to.include({ status: 'interrupted' })
  })

  it('closes a late turn before it names the open ones', async () => {
    const key = await aSession(get())
    await begun(get(), aBegin(key, { leaseMs: 0 }))
    await begun(get(), aBegin(key, { concurrency: 'enqueue' }))
    await begun(get(), aBegin(key, { concurrency: 'enqueue', leaseMs: 0 }))
    expect(await get().openBefore({ ...key, turn: 4 })).to.equal(2)
    expect(await get().openBefore({ ...key, turn: 2 })).to.equal(undefined)
  })

  it('closes late turns of any session for a sweeper, at most in as many sessions as it says', async () => {
    while ((await get().closeExpiredTurns(100)) > 0);
    const sessions = [await aSession(get()), await aSession(get())]
    for (const key of sessions) {
      await begun(get(), aBegin(key, { leaseMs: 0 }))
      await begun(get(), aBegin(key, { leaseMs: 60_000 }))
      await begun(get(), aBegin(key, { leaseMs: 0 }))
    }
    const before = (await get().readHistory(sessions[0]!))!.history.revision
    expect(await get().closeExpiredTurns(1)).to.equal(1)
    expect(await get().closeExpiredTurns(10)).to.equal(1)
    expect(await get().closeExpiredTurns(10)).to.equal(0)
    for (const key of sessions) {
      const statuses = [1, 2, 3].map(async (turn) => (await get().findTurn({ ...key, turn }))?.status)
      expect(await Promise.all(statuses)).to.deep.equal(['interrupted', 'open', 'interrupted'])
    }
    expect((await get().readHistory(sessions[0]!))!.history.revision).to.not.equal(before)
  })

  it('lets the owner complete a turn that its lease closed', async () => {
    const key = await aSession(get())
    const late = aBegin(key, { leaseMs: 0, question: [user('late')] })
    const { turn } = await begun(get(), late)
    const other = await ask(get(), key)
    const completed = await get().completeTurn(aComplete(late, turn, { answer: [assistant('after all')] }))
    expect(completed).to.include({ status: 'completed', from: (other.completed as { to: string }).to })
    expect((await history(get(), key)).slice(0, 2)).to.deep.equal(['user:late', 'assistant:after all'])
    expect(await listed(get(), key)).to.have.length(4)
  })

  it('renews the lease of an open turn alone', async () => {
    const key = await aSession(get())
    const call = aBegin(key, { leaseMs: 0 })
    const { turn } = await begun(get(), call)
    const lease = { ...key, turn, nonce: call.nonce, leaseMs: 60_000 }
    expect(await get().renewLease({ ...lease, nonce: randomUUID() })).to.equal(false)
    expect(await get().renewLease(lease)).to.equal(true)
    await begun(get(), aBegin(key))
    expect((await get().findTurn({ ...key, turn }))?.status).to.equal('open')
    await get().completeTurn(aComplete(call, turn))
    expect(await get().renewLease(lease)).to.equal(false)
  })
}

function ends(get: Get): void {
  it('keeps a failed question out of the history, and lists it', async () => {
    const key = await aSession(get())
    const { revision, completed } = await ask(get(), key, {}, { ending: 'failed', answer: [] })
    expect(completed).to.deep.equal({ status: 'completed', from: revision, to: revision })
    expect(await history(get(), key)).to.deep.equal([])
    expect(await listed(get(), key)).to.deep.equal(['user:a question'])
    expect((await get().findTurn({ ...key, turn: 1 }))?.status).to.equal('failed')
  })

  it('keeps a partial answer as interrupted', async () => {
    const key = await aSession(get())
    await ask(get(), key, {}, { ending: 'interrupted', answer: [assistant('par')] })
    const read = await get().readHistory(key)
    expect(read?.history.turns[0]?.status).to.equal('interrupted')
    expect(await history(get(), key)).to.deep.equal(['user:a question', 'assistant:par'])
    expect(await get().findFinishedTurn({ ...key, turn: 1 })).to.equal(undefined)
  })

  it('keeps a failed question in the history when asked to, until its key runs again', async () => {
    const key = await aSession(get())
    const failing = { ending: 'failed', answer: [], keepQuestion: true } as const
    const failed = await ask(get(), key, { question: [user('q1')], key: 'k' }, failing)
    const { from, to } = failed.completed as { from: string; to: string }
    expect(from).to.not.equal(to)
    const read = await get().readHistory(key)
    expect(read?.history.revision).to.equal(to)
    expect(read?.history.turns[0]?.status).to.equal('interrupted')
    expect((await get().findTurn({ ...key, turn: 1 }))?.status).to.equal('failed')
    const next = await begun(get(), aBegin(key, { question: [user('q1')], key: 'k' }))
    expect(next.revision).to.not.equal(to)
    expect(next.history?.turns).to.deep.equal([])
    expect(await listed(get(), key)).to.deep.equal(['user:q1'])
  })

  it('takes a discarded turn back: its rows, its count, its pin, but not its number', async () => {
    const key = await aSession(get())
    await ask(get(), key, { system: [system('first')] })
    const gone = await ask(get(), key, { system: [system('second')], key: 'k' }, { ending: 'discarded' })
    expect(gone.completed).to.include({ status: 'completed' })
    expect(await listed(get(), key)).to.deep.equal(['system:first', 'user:a question', 'assistant:an answer'])
    expect(spoken((await get().readHistory(key))!.history.system)).to.deep.equal(['system:first'])
    const discarded = aComplete(gone.call, gone.turn, { ending: 'discarded' })
    expect(await get().completeTurn(discarded)).to.deep.equal({ status: 'repeated' })
    expect((await ask(get(), key, { key: 'k' })).turn).to.equal(3)
  })

  it('takes two discarded turns back in any order: the pin before both of them stays', async () => {
    const key = await aSession(get())
    await ask(get(), key, { system: [system('first')] })
    const calls = [system('second'), system('third')].map((pin) => aBegin(key, { system: [pin] }))
    const turns: number[] = []
    for (const call of calls) turns.push((await begun(get(), call)).turn)
    for (const [index, call] of calls.entries()) {
      await get().completeTurn(aComplete(call, turns[index]!, { ending: 'discarded' }))
    }
    expect(spoken((await get().readHistory(key))!.history.system)).to.deep.equal(['system:first'])
  })

  it('lets the first ending win', async () => {
    const key = await aSession(get())
    const { call, turn } = await ask(get(), key, {}, { ending: 'failed', answer: [] })
    expect(await get().completeTurn(aComplete(call, turn))).to.deep.equal({ status: 'closed', as: 'failed' })
    expect(await listed(get(), key)).to.have.length(1)
  })
}

function readsHistory(get: Get): void {
  const six = async (): Promise<SessionKey> => {
    const key = await aSession(get())
    for (let n = 1; n <= 6; n++) {
      await ask(get(), key, { question: [user(`q${n}`)] }, { answer: [assistant(`a${n}`)] })
    }
    return key
  }

  it('gives whole exchanges within the limit, and says how far back they reach', async () => {
    const key = await six()
    for (const [limit, from, count] of [
      [12, 0, 6],
      [11, 2, 5],
      [10, 2, 5],
      [3, 6, 1],
      [1, 7, 0],
    ] as const) {
      const { history } = (await get().readHistory({ ...key, limit }))!
      expect([history.from, history.turns.length], `limit ${limit}`).to.deep.equal([from, count])
      expect(history.reach, `limit ${limit}`).to.equal(Math.min(12, limit + 1))
    }
  })

  it('uses the session’s own limit when none is given', async () => {
    const key = await six()
    await get().changeSession({ ...key, maxHistoryMessages: 4 })
    expect(await history(get(), key)).to.deep.equal(['user:q5', 'assistant:a5', 'user:q6', 'assistant:a6'])
    expect((await begun(get(), aBegin(key))).history?.turns).to.have.length(2)
  })

  it('is not sent again while the cached one is current and reaches far enough', async () => {
    const key = await six()
    const { revision } = (await get().readHistory(key))!.history
    const given = async (cached: BeginCall['cached']): Promise<boolean> =>
      (await begun(get(), aBegin(key, { cached, limit: 4 }))).history !== undefined
    expect(await given({ revision, reach: 5, from: 5 })).to.equal(false)
    expect(await given({ revision, reach: 0, from: 0 })).to.equal(false)
    expect(await given({ revision, reach: 4, from: 5 })).to.equal(true)
    expect(await given({ revision: randomUUID(), reach: 5, from: 5 })).to.equal(true)
  })

  it('is stale, and nothing is written, when a resent history is based on another revision', async () => {
    const key = await six()
    const { revision } = (await get().readHistory(key))!.history
    const stale = await get().beginTurn(aBegin(key, { onlyIfCurrent: true, limit: 2 }))
    expect(stale).to.deep.include({ status: 'stale', settings: { model: null, maxHistoryMessages: 20 } })
    expect(stale.status === 'stale' && stale.history.turns.map((turn) => turn.turn)).to.deep.equal([6])
    expect(await listed(get(), key)).to.have.length(12)
    const cached = { revision, reach: 21, from: 6 }
    const next = await get().beginTurn(aBegin(key, { onlyIfCurrent: true, cached }))
    expect(next).to.include({ status: 'begun', turn: 7 })
  })
}

function joinsExchanges(get: Get): void {
  const step = (id: string, answers: string[]) => ({ question: [result(id)], answers })

  it('joins the exchange of the call that a question answers, whatever came between', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q')] }, { answer: [calling('c1')], calls: ['c1'] })
    await ask(get(), key, { question: [user('other')] }, { answer: [assistant('o')] })
    const joined = await ask(get(), key, step('c1', ['c1']), { answer: [assistant('done')] })
    expect(joined).to.include({ turn: 3, exchange: 1 })
    const order = [
      'user:q',
      'assistant:c1',
      'tool:result of c1',
      'assistant:done',
      'user:other',
      'assistant:o',
    ]
    expect(await history(get(), key)).to.deep.equal(order)
    expect(await listed(get(), key)).to.deep.equal(order)
  })

  it('refuses results without a call, and writes nothing', async () => {
    const key = await aSession(get())
    await ask(get(), key, {}, { ending: 'failed', answer: [], calls: ['c1'] })
    const orphan = aBegin(key, step('c1', ['c1']))
    expect(await get().beginTurn(orphan)).to.deep.equal({ status: 'orphaned' })
    expect((await get().findSession(key))?.messageCount).to.equal(1)
  })

  it('gives the running exchange whatever the limit: its question, the step, the newest turns that reach over it', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q')] }, { answer: [calling('c1')], calls: ['c1'] })
    for (let n = 1; n < 6; n++) {
      await ask(get(), key, step(`c${n}`, [`c${n}`]), {
        answer: [calling(`c${n + 1}`)],
        calls: [`c${n + 1}`],
      })
    }
    const running = await begun(get(), aBegin(key, { ...step('c6', ['c6']), limit: 4 }))
    const messages = running.history!.turns.flatMap((turn) => turn.messages)
    const kept = ['c3', 'c4', 'c5'].flatMap((id, at) => [`tool:result of ${id}`, `assistant:c${at + 4}`])
    expect(spoken(messages)).to.deep.equal(['user:q', 'assistant:c1', ...kept])
    expect(running.history!.from).to.equal(2)
    expect(await history(get(), key, { limit: 1, joins: ['c6'] })).to.deep.equal([
      'user:q',
      'assistant:c1',
      'tool:result of c5',
      'assistant:c6',
    ])
  })

  it('is sent the running exchange when the cached history does not reach back to it', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q')] }, { answer: [calling('c1')], calls: ['c1'] })
    for (let n = 0; n < 3; n++) await ask(get(), key)
    const { revision } = (await get().readHistory(key))!.history
    const cached = { revision, reach: 5, from: 3 }
    const joined = await begun(get(), aBegin(key, { ...step('c1', ['c1']), limit: 4, cached }))
    expect(joined.history?.turns.map((turn) => turn.turn)).to.deep.equal([1, 3, 4])
    expect(joined.history?.from).to.equal(3)
  })
}

function pinsSystem(get: Get): void {
  it('pins them, outside the history and its limit, and stores the same ones once', async () => {
    const key = await aSession(get())
    const pins = [system('be kind'), { message: { role: 'developer', content: 'x', name: '\0' }, tokens: 4 }]
    const first = await ask(get(), key, { system: pins })
    expect(first.parts).to.equal(3)
    const second = await begun(get(), aBegin(key, { system: pins, limit: 2 }))
    expect(second.parts).to.equal(1)
    expect(second.history?.system).to.deep.equal(pins)
    expect(second.history?.turns.map((turn) => turn.messages.length)).to.deep.equal([2])
    expect(await listed(get(), key)).to.have.length(5)
  })

  it('stay when a request brings none', async () => {
    const key = await aSession(get())
    await ask(get(), key, { system: [system('s')] })
    await ask(get(), key)
    expect(spoken((await get().readHistory(key))!.history.system)).to.deep.equal(['system:s'])
  })

  it('are replaced from the begin that brings others, and the revision moves', async () => {
    const key = await aSession(get())
    const first = await ask(get(), key, { system: [system('old')] })
    const { to } = first.completed as { to: string }
    const second = await begun(get(), aBegin(key, { system: [system('new')] }))
    expect(second.revision).to.not.equal(to)
    expect(spoken(second.history!.system)).to.deep.equal(['system:new'])
    expect(spoken((await get().readHistory(key))!.history.system)).to.deep.equal(['system:new'])
  })

  it('in the middle of a question are ordinary messages', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('a'), system('b'), user('c')] })
    expect(await history(get(), key)).to.deep.equal(['user:a', 'system:b', 'user:c', 'assistant:an answer'])
  })

  it('stay listed when the turn that brought them is superseded', async () => {
    const key = await aSession(get())
    const pinned = { system: [system('s')], key: 'k' }
    await ask(get(), key, pinned, { ending: 'failed', answer: [] })
    await ask(get(), key, pinned)
    expect(await listed(get(), key)).to.deep.equal(['system:s', 'user:a question', 'assistant:an answer'])
    await ask(get(), key, { replaces: 'last' })
    expect(await listed(get(), key)).to.deep.equal(['system:s', 'user:a question', 'assistant:an answer'])
    expect(spoken((await get().readHistory(key))!.history.system)).to.deep.equal(['system:s'])
  })
}

function summarizes(get: Get): void {
  const leaseMs = 60_000
  const told = async (key: SessionKey, ...names: string[]): Promise<void> => {
    for (const name of names)
      await ask(get(), key, { question: [user(name)] }, { answer: [assistant(name.toUpperCase())] })
  }
  /** A session of four exchanges, of which a summary covers three. */
  const summarized = async (): Promise<SessionKey> => {
    const key = await aSession(get())
    await told(key, 'a', 'b', 'c', 'd')
    const nonce = randomUUID()
    await get().claimSummary({ ...key, nonce, leaseMs })
    expect(await get().saveSummary({ ...key, nonce, to: 3, text: 'a to c', tokens: 7 })).to.equal(true)
    return key
  }
  const fronts = async (key: SessionKey): Promise<unknown[]> => {
    const read = await get().readHistory({ ...key, limit: 100 })
    return [...read!.history.system, ...read!.history.turns.flatMap(({ messages }) => messages)].map(
      ({ message }) => String(message.content).replace(/^Summary of.*\n\n/, 'sum: '),
    )
  }
  const all = ['a', 'A', 'b', 'B', 'c', 'C', 'd', 'D']

  it('stand in the history for what they cover, and move the revision', async () => {
    const key = await aSession(get())
    await told(key, 'a', 'b')
    const before = await get().readHistory(key)
    const nonce = randomUUID()
    const claim = await get().claimSummary({ ...key, nonce, leaseMs })
    expect(claim!.turns.map(({ turn, messages }) => [turn, messages.length])).to.deep.equal([
      [1, 2],
      [2, 2],
    ])
    expect(claim).to.not.have.property('previous')
    expect(await get().saveSummary({ ...key, nonce, to: 1, text: 'about a\0', tokens: 7 })).to.equal(true)
    const { history } = (await get().readHistory(key))!
    expect(history.revision).to.not.equal(before!.history.revision)
    expect(history.from).to.equal(0)
    expect(history.system).to.deep.equal([
      {
        message: {
          role: 'system',
          content: 'Summary of turns 1 to 1 of this conversation:\n\nabout a\uFFFD',
        },
        tokens: 7,
        summarizes: 1,
      },
    ])
    expect(await fronts(key)).to.deep.equal(['sum: about a\uFFFD', 'b', 'B'])
    const page = await get().listMessages(key, { limit: 100 })
    expect(page!.data).to.have.length(4)
    const next = await get().claimSummary({ ...key, nonce: randomUUID(), leaseMs })
    expect(next!.previous).to.equal('about a\uFFFD')
    expect(next!.turns.map(({ turn }) => turn)).to.deep.equal([2])
  })

  it('are made by one at a time, for the session’s owner alone, and kept for the one who claimed', async () => {
    const key = await aSession(get())
    await told(key, 'a')
    const nonce = randomUUID()
    expect(await get().claimSummary({ ...key, userId: 'nobody', nonce, leaseMs })).to.equal(undefined)
    expect(await get().claimSummary({ ...key, nonce, leaseMs: 0 })).to.not.equal(undefined)
    const later = randomUUID()
    expect(await get().claimSummary({ ...key, nonce: later, leaseMs })).to.not.equal(undefined)
    expect(await get().claimSummary({ ...key, nonce: randomUUID(), leaseMs })).to.equal(undefined)
    expect(await get().saveSummary({ ...key, nonce, to: 1, text: 'late' })).to.equal(false)
    expect(await get().saveSummary({ ...key, nonce: later, to: 1, text: 'mine' })).to.equal(true)
  })

  it('cover nothing that is still open', async () => {
    const key = await aSession(get())
    await told(key, 'a')
    await get().beginTurn(aBegin(key, { question: [user('open')] }))
    await told(key, 'c')
    const claim = await get().claimSummary({ ...key, nonce: randomUUID(), leaseMs })
    expect(claim!.turns.map(({ turn }) => turn)).to.deep.equal([1])
  })

  it('go when what they cover is cleared, deleted or replaced, and raw messages stand there again', async () => {
    const cleared = await summarized()
    expect(await fronts(cleared)).to.deep.equal(['sum: a to c', 'd', 'D'])
    await get().clearSession(cleared)
    expect(await fronts(cleared)).to.deep.equal([])
    const deleted = await summarized()
    await get().deleteMessage({ ...deleted, turn: 4, part: 0 })
    expect(await fronts(deleted)).to.deep.equal(['sum: a to c'])
    await get().deleteMessage({ ...deleted, turn: 2, part: 0 })
    expect(await fronts(deleted)).to.deep.equal(['a', 'A', 'c', 'C'])
    const replaced = await summarized()
    const begin = aBegin(replaced, { question: [user('b2')], replaces: 2 })
    const turn = await begun(get(), begin)
    expect(turn.history!.system).to.deep.equal([])
    expect(turn.history!.turns.map((each) => each.turn)).to.deep.equal([1])
    expect(await fronts(replaced)).to.deep.equal(['sum: a to c', 'd', 'D'])
    await get().completeTurn(aComplete(begin, turn.turn, { answer: [assistant('B2')] }))
    expect(await fronts(replaced)).to.deep.equal(['a', 'A', 'b2', 'B2'])
  })

  it('that are being made are refused once something has left the history', async () => {
    for (const leave of [
      (key: SessionKey) => get().clearSession(key),
      (key: SessionKey) => get().deleteMessage({ ...key, turn: 1, part: 0 }),
      (key: SessionKey) => ask(get(), key, { question: [user('x')], replaces: 'last' }),
    ]) {
      const key = await aSession(get())
      await told(key, 'a', 'b')
      const nonce = randomUUID()
      await get().claimSummary({ ...key, nonce, leaseMs })
      await leave(key)
      expect(await get().saveSummary({ ...key, nonce, to: 2, text: 'gone' })).to.equal(false)
    }
  })

  it('leave room for the whole rest to be replaced', async () => {
    const key = await aSession(get())
    await told(key, 'a', 'b', 'c', 'd')
    expect(await fronts(key)).to.deep.equal(all)
    await ask(get(), key, { question: [user('b2')], replaces: 2 }, { ending: 'failed', answer: [] })
    expect(await fronts(key)).to.deep.equal(all)
    await ask(get(), key, { question: [user('b3')], replaces: 2 }, { answer: [assistant('B3')] })
    expect(await fronts(key)).to.deep.equal(['a', 'A', 'b3', 'B3'])
    expect((await get().findSession(key))!.messageCount).to.equal(4)
    const gone = await get().beginTurn(aBegin(key, { question: [user('x')], replaces: 99 }))
    expect(gone.status).to.equal('nothing_to_replace')
  })
}

function replacesTurns(get: Get): void {
  it('leaves the last turn out of the history and supersedes it when the new one is done', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q1')] }, { answer: [assistant('a1')] })
    await ask(get(), key, { question: [user('q2')], key: 'k' }, { answer: [assistant('a2')] })
    const call = aBegin(key, { question: [user('q2')], replaces: 'last' })
    const turn = await begun(get(), call)
    expect(turn).to.include({ turn: 3, replaces: 2 })
    expect(turn.history?.turns.map((each) => each.turn)).to.deep.equal([1])
    expect(turn.history?.revision, 'no cache may take it').to.not.equal(turn.revision)
    expect(await history(get(), key)).to.have.length(4)
    await get().completeTurn(aComplete(call, turn.turn, { answer: [assistant('better')] }))
    const now = ['user:q1', 'assistant:a1', 'user:q2', 'assistant:better']
    expect(await history(get(), key)).to.deep.equal(now)
    expect(await listed(get(), key)).to.deep.equal(now)
    expect(await get().beginTurn(aBegin(key, { key: 'k' }))).to.deep.equal({ status: 'finished', turn: 2 })
    expect((await get().findFinishedTurn({ ...key, turn: 2 }))?.messages).to.have.length(2)
  })

  it('keeps the old turn when the new one fails', async () => {
    const key = await aSession(get())
    await ask(get(), key)
    await ask(get(), key, { replaces: 'last' }, { ending: 'failed', answer: [] })
    expect(await history(get(), key)).to.deep.equal(['user:a question', 'assistant:an answer'])
  })

  it('replaces one step from within its exchange, and the exchange whole with a new question', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q')] }, { answer: [calling('c')], calls: ['c'] })
    const step = { question: [result('c')], answers: ['c'] }
    await ask(get(), key, step, { answer: [assistant('bad')] })
    const again = await ask(get(), key, { ...step, replaces: 'last' }, { answer: [assistant('good')] })
    expect(again).to.include({ exchange: 1, replaces: 2 })
    expect(await listed(get(), key)).to.deep.equal([
      'user:q',
      'assistant:c',
      'tool:result of c',
      'assistant:good',
    ])
    const whole = await ask(get(), key, { question: [user('q')], replaces: 'last' })
    expect(whole.history?.turns).to.deep.equal([])
    expect(await listed(get(), key)).to.deep.equal(['user:q', 'assistant:an answer'])
  })

  it('says when there is nothing to replace', async () => {
    const key = await aSession(get())
    await ask(get(), key, {}, { ending: 'failed', answer: [] })
    const call = aBegin(key, { replaces: 'last' })
    expect(await get().beginTurn(call)).to.deep.equal({ status: 'nothing_to_replace' })
  })
}

function clears(get: Get): void {
  it('empties history, listing, count and pin, and refuses the running turn', async () => {
    const key = await aSession(get())
    await ask(get(), key, { system: [system('s')], key: 'k' })
    const running = aBegin(key)
    const { turn } = await begun(get(), running)
    expect(await get().clearSession(key)).to.equal(true)
    expect(await listed(get(), key)).to.deep.equal([])
    const { history } = (await get().readHistory(key))!
    expect([history.system, history.turns]).to.deep.equal([[], []])
    expect(await get().completeTurn(aComplete(running, turn))).to.deep.equal({ status: 'cleared' })
    const lease = { ...key, turn, nonce: running.nonce, leaseMs: 1000 }
    expect(await get().renewLease(lease)).to.equal(false)
    expect(await get().findTurn({ ...key, turn: 1 })).to.equal(undefined)
    expect(await get().findFinishedTurn({ ...key, turn: 1 })).to.equal(undefined)
  })

  it('goes on with the next number, and a cleared key runs again', async () => {
    const key = await aSession(get())
    await ask(get(), key, { key: 'k', question: [user('old')] })
    await get().clearSession(key)
    const next = await ask(get(), key, { key: 'k', question: [user('new')], concurrency: 'reject' })
    expect(next).to.include({ turn: 2, exchange: 2 })
    expect(next.history?.turns).to.deep.equal([])
    expect(await listed(get(), key)).to.deep.equal(['user:new', 'assistant:an answer'])
  })

  it('makes calls of before unknown', async () => {
    const key = await aSession(get())
    await ask(get(), key, {}, { answer: [calling('c')], calls: ['c'] })
    await get().clearSession(key)
    const orphan = aBegin(key, { question: [result('c')], answers: ['c'] })
    expect(await get().beginTurn(orphan)).to.deep.equal({ status: 'orphaned' })
  })
}

function deletesMessages(get: Get): void {
  it('takes its exchange away, whole, and moves the revision', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q1')] }, { answer: [calling('c')], calls: ['c'] })
    await ask(get(), key, { question: [user('q2')] }, { answer: [assistant('a2')] })
    await ask(get(), key, { question: [result('c')], answers: ['c'] }, { answer: [assistant('a1')] })
    const before = (await get().readHistory(key))!.history.revision
    expect(await get().deleteMessage({ ...key, turn: 3, part: 0 })).to.equal(true)
    expect(await listed(get(), key)).to.deep.equal(['user:q2', 'assistant:a2'])
    expect(await history(get(), key)).to.deep.equal(['user:q2', 'assistant:a2'])
    expect((await get().readHistory(key))!.history.revision).to.not.equal(before)
    expect(await get().findTurn({ ...key, turn: 1 })).to.equal(undefined)
    expect(await get().deleteMessage({ ...key, turn: 3, part: 0 })).to.equal(false)
    expect((await ask(get(), key)).turn).to.equal(4)
  })

  it('refuses the late answer to it, and forgets its key', async () => {
    const key = await aSession(get())
    const running = aBegin(key, { key: 'k' })
    const { turn } = await begun(get(), running)
    expect(await get().deleteMessage({ ...key, turn, part: 0 })).to.equal(true)
    expect(await get().completeTurn(aComplete(running, turn))).to.deep.equal({ status: 'closed' })
    expect(await listed(get(), key)).to.deep.equal([])
    const again = await begun(get(), aBegin(key, { key: 'k', concurrency: 'reject' }))
    expect(again.turn).to.equal(2)
  })

  it('keeps the pinned message that its exchange brought, whose turn nobody can complete', async () => {
    const key = await aSession(get())
    const call = aBegin(key, { system: [system('s')], question: [user('q1')], key: 'k' })
    const { turn } = await begun(get(), call)
    await ask(get(), key, { question: [user('q2')] })
    expect(await get().deleteMessage({ ...key, turn, part: 1 })).to.equal(true)
    expect(await listed(get(), key)).to.deep.equal(['system:s', 'user:q2', 'assistant:an answer'])
    expect(await get().completeTurn(aComplete(call, turn))).to.include({ status: 'closed' })
    expect(spoken((await get().readHistory(key))!.history.system)).to.deep.equal(['system:s'])
    expect(await get().beginTurn(aBegin(key, { key: 'k' }))).to.include({ status: 'begun', turn: 3 })
  })

  it('takes a pinned message away alone', async () => {
    const key = await aSession(get())
    await ask(get(), key, { system: [system('s')], question: [user('q1')] })
    expect(await get().deleteMessage({ ...key, turn: 1, part: 0 })).to.equal(true)
    expect(await listed(get(), key)).to.deep.equal(['user:q1', 'assistant:an answer'])
    expect((await get().readHistory(key))!.history.system).to.deep.equal([])
  })

  it('takes what it superseded with it', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q')] }, { answer: [assistant('worse')] })
    await ask(get(), key, { question: [user('q')], replaces: 'last' }, { answer: [assistant('better')] })
    const all = { ...key, superseded: true }
    expect((await get().listMessages(all, { limit: 9 }))!.data).to.have.length(4)
    expect(await get().deleteMessage({ ...key, turn: 2, part: 1 })).to.equal(true)
    expect((await get().listMessages(all, { limit: 9 }))!.data).to.deep.equal([])
    expect(await listed(get(), key)).to.deep.equal([])
  })

  it('keeps what it did not come to supersede', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q')] }, { answer: [assistant('good')] })
    await ask(get(), key, { question: [user('q')], replaces: 'last' }, { ending: 'failed', answer: [] })
    expect(await get().deleteMessage({ ...key, turn: 2, part: 0 })).to.equal(true)
    expect(await listed(get(), key)).to.deep.equal(['user:q', 'assistant:good'])
  })

  it('knows nothing of what was cleared or never was', async () => {
    const key = await aSession(get())
    await ask(get(), key)
    expect(await get().deleteMessage({ ...key, turn: 1, part: 2 })).to.equal(false)
    await get().clearSession(key)
    expect(await get().deleteMessage({ ...key, turn: 1, part: 0 })).to.equal(false)
  })
}

function forks(get: Get): void {
  const fork = async (key: SessionKey, until?: { turn: number; part: number }): Promise<SessionKey> => {
    const to = `fork-${randomUUID()}`
    const made = await get().forkSession({ ...key, to, ...(until && { until }) })
    expect(made).to.include({ id: to })
    return { ...key, sessionId: to }
  }

  it('copies the session up to a message’s turn; both go on by themselves', async () => {
    const key = await aSession(get(), { name: 'n', model: 'm', maxHistoryMessages: 7, metadata: { a: 1 } })
    for (const q of ['q1', 'q2', 'q3']) await ask(get(), key, { question: [user(q)], key: q })
    const copy = await fork(key, { turn: 2, part: 1 })
    const half = ['user:q1', 'assistant:an answer', 'user:q2', 'assistant:an answer']
    expect(await listed(get(), copy)).to.deep.equal(half)
    const session = (await get().findSession(copy))!
    expect(session).to.include({ name: 'n', model: 'm', maxHistoryMessages: 7, messageCount: 4 })
    expect(session.metadata).to.deep.equal({ a: 1 })
    const next = await ask(get(), copy, { question: [user('other')], key: 'q1' })
    expect(next.turn).to.equal(3)
    expect(spoken(next.history!.turns.flatMap((turn) => turn.messages))).to.deep.equal(half)
    expect(await listed(get(), key)).to.have.length(6)
    await get().clearSession(key)
    expect(await listed(get(), copy)).to.have.length(6)
  })

  it('copies all of it when no message is named: pins, tool steps, cleared edge; not what is open or superseded', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('gone')] })
    await get().clearSession(key)
    await ask(
      get(),
      key,
      { system: [system('s')], question: [user('q')] },
      { answer: [calling('c')], calls: ['c'] },
    )
    await ask(
      get(),
      key,
      { question: [result('c')], answers: ['c'] },
      { answer: [calling('d')], calls: ['d'] },
    )
    await ask(get(), key, { question: [user('f')] }, { ending: 'failed', answer: [] })
    await begun(get(), aBegin(key))
    const copy = await fork(key)
    expect(await listed(get(), copy)).to.deep.equal([
      'system:s',
      'user:q',
      'assistant:c',
      'tool:result of c',
      'assistant:d',
      'user:f',
    ])
    expect(spoken((await get().readHistory(copy))!.history.system)).to.deep.equal(['system:s'])
    const joined = await begun(
      get(),
      aBegin(copy, { question: [result('d')], answers: ['d'], concurrency: 'reject' }),
    )
    expect(joined.exchange).to.equal(2)
  })

  it('takes the pin of that time, and none that was taken away', async () => {
    const key = await aSession(get())
    await ask(get(), key, { system: [system('old')] })
    await ask(get(), key, { system: [system('new')] })
    const then = await fork(key, { turn: 1, part: 1 })
    expect(spoken((await get().readHistory(then))!.history.system)).to.deep.equal(['system:old'])
    await get().deleteMessage({ ...key, turn: 2, part: 0 })
    const now = await fork(key)
    expect((await get().readHistory(now))!.history.system).to.deep.equal([])
  })

  it('refuses an id that is taken, and a message that is not there, superseded or open', async () => {
    const key = await aSession(get())
    await ask(get(), key)
    await ask(get(), key, { replaces: 'last' })
    await begun(get(), aBegin(key))
    expect(await get().forkSession({ ...key, to: key.sessionId })).to.equal('taken')
    for (const turn of [1, 3, 9]) {
      const refused = await get().forkSession({ ...key, to: 'x', until: { turn, part: 0 } })
      expect(refused, `turn ${turn}`).to.equal('no_message')
    }
    expect(await get().findSession({ ...key, sessionId: 'x' })).to.equal(undefined)
  })
}

function restores(get: Get): void {
  it('brings a deleted session back as it was, at another revision', async () => {
    const key = await aSession(get(), { name: 'n' })
    await ask(get(), key)
    const before = (await get().readHistory(key))!.history.revision
    await get().deleteSession(key)
    expect(await get().restoreSession(key)).to.include({ id: key.sessionId, name: 'n', messageCount: 2 })
    expect(await listed(get(), key)).to.have.length(2)
    expect((await get().readHistory(key))!.history.revision).to.not.equal(before)
  })

  it('refuses the answers of turns from before the deletion, and is not held up by them', async () => {
    const key = await aSession(get())
    const calls = [{ leaseMs: 0 }, {}].map((more) => aBegin(key, { question: [user('q')], ...more }))
    await begun(get(), calls[0]!)
    // This begin finds the first one's lease run out: its owner might still have come.
    await begun(get(), calls[1]!)
    await get().deleteSession(key)
    await get().restoreSession(key)
    for (const [index, call] of calls.entries()) {
      const late = await get().completeTurn(aComplete(call, index + 1))
      expect(late).to.deep.equal({ status: 'closed', as: 'interrupted' })
    }
    await ask(get(), key, { question: [user('next')], concurrency: 'reject' })
    expect(await history(get(), key)).to.deep.equal(['user:q', 'user:q', 'user:next', 'assistant:an answer'])
    expect(await listed(get(), key)).to.have.length(4)
  })

  it('leaves one alone that is not deleted, and finds none that never was, has expired or is another’s', async () => {
    const key = await aSession(get())
    const before = (await get().readHistory(key))!.history.revision
    expect(await get().restoreSession(key)).to.include({ id: key.sessionId })
    expect((await get().readHistory(key))!.history.revision).to.equal(before)
    await get().deleteSession(key)
    expect(await get().restoreSession({ ...key, userId: 'other' })).to.equal(undefined)
    expect(await get().restoreSession({ ...key, sessionId: 'never' })).to.equal(undefined)
    const brief = await aSession(get(), { ttlSeconds: 1 })
    await untilExpired(get(), brief)
    expect(await get().restoreSession(brief)).to.equal(undefined)
  })
}

function listsMessages(get: Get): void {
  it('lists superseded answers when asked to', async () => {
    const key = await aSession(get())
    await ask(get(), key, { question: [user('q')] }, { answer: [assistant('worse')] })
    await ask(get(), key, { question: [user('q')], replaces: 'last' }, { answer: [assistant('better')] })
    const page = await get().listMessages({ ...key, superseded: true }, { limit: 9 })
    expect(page!.data.map(({ status, message }) => `${status} ${String(message.content)}`)).to.deep.equal([
      'superseded q',
      'superseded worse',
      'done q',
      'done better',
    ])
    expect(await listed(get(), key)).to.deep.equal(['user:q', 'assistant:better'])
  })

  it('pages in the prompt’s order, forth, back and from the end', async () => {
    const key = await aSession(get())
    for (let n = 0; n < 4; n++) await ask(get(), key)
    const all = (await get().listMessages(key, { limit: 100 }))!.data.map((message) => message.id)
    expect(all).to.have.length(8)
    const ids = async (page: PageRequest): Promise<string[]> =>
      (await get().listMessages(key, page))!.data.map((message) => message.id)
    const first = (await get().listMessages(key, { limit: 3 }))!
    expect(first.hasMore).to.equal(true)
    const second = (await get().listMessages(key, { limit: 5, after: first.nextCursor! }))!
    expect(second.hasMore).to.equal(false)
    expect([...first.data, ...second.data].map((message) => message.id)).to.deep.equal(all)
    const before = (await get().listMessages(key, { limit: 2, before: second.nextCursor! }))!
    expect(before.data.map((message) => message.id)).to.deep.equal(all.slice(5, 7))
    expect(await ids({ limit: 3, before: before.nextCursor! })).to.deep.equal(all.slice(2, 5))
    expect(await ids({ limit: 3, order: 'desc' })).to.deep.equal([...all].reverse().slice(0, 3))
    const down = (await get().listMessages(key, { limit: 3, order: 'desc' }))!
    const further = { limit: 3, order: 'desc', after: down.nextCursor! } as const
    expect(await ids(further)).to.deep.equal([...all].reverse().slice(3, 6))
    expect(await ids({ limit: 2, offset: 3 })).to.deep.equal(all.slice(3, 5))
  })
}

function leases(get: Get): void {
  const [mine, yours] = [randomUUID(), randomUUID()]

  it('is one holder’s, who may renew it, until it is given back', async () => {
    const name = randomUUID()
    expect(await get().holdLease(name, mine, 60_000)).to.equal(true)
    expect(await get().holdLease(name, yours, 60_000)).to.equal(false)
    expect(await get().holdLease(name, mine, 60_000)).to.equal(true)
    await get().releaseLease(name, yours)
    expect(await get().holdLease(name, yours, 60_000)).to.equal(false)
    await get().releaseLease(name, mine)
    expect(await get().holdLease(name, yours, 60_000)).to.equal(true)
  })

  it('is free once it has run out', async () => {
    const name = randomUUID()
    expect(await get().holdLease(name, mine, 0)).to.equal(true)
    expect(await get().holdLease(name, yours, 60_000)).to.equal(true)
  })
}

function purges(get: Get): void {
  const all = async (retentionSeconds: number): Promise<SessionKey[]> => {
    const found: SessionKey[] = []
    for (let after: SessionKey | undefined, more = true; more;) {
      const page = await get().listPurgeable({ retentionSeconds, limit: 7, ...(after && { after }) })
      found.push(...page.sessions)
      after = page.next
      more = after !== undefined
    }
    return found
  }

  it('lists what was deleted so long ago, in stretches, and deletes it once', async () => {
    const [gone, live] = [await aSession(get()), await aSession(get())]
    for (const key of [gone, live]) await ask(get(), key)
    await get().deleteSession(gone)
    expect(await all(1000)).to.deep.equal([])
    const found = await all(0)
    expect(found).to.deep.include(gone)
    expect(found).to.not.deep.include(live)
    expect(await get().purgeSession(live, 0)).to.equal('kept')
    expect(await get().purgeSession(gone, 1000)).to.equal('kept')
    expect(await get().purgeSession(gone, 0)).to.equal('purged')
    expect(await get().purgeSession(gone, 0)).to.equal('kept')
    expect(await listed(get(), live)).to.have.length(2)
    expect((await get().createSession(gone))?.messageCount).to.equal(0)
    expect(await history(get(), gone)).to.deep.equal([])
  })
}

function isolates(get: Get): void {
  it('finds nothing, changes nothing and completes nothing', async () => {
    const key = await aSession(get())
    const call = aBegin(key)
    const { turn } = await begun(get(), call)
    const foreign = { ...key, userId: `other-${key.userId}` }
    await findsNothing(get(), foreign)
    const completion = aComplete({ ...call, ...foreign }, turn)
    expect(await get().completeTurn(completion)).to.deep.equal({ status: 'no_session' })
    expect(await get().renewLease({ ...foreign, turn, nonce: call.nonce, leaseMs: 1 })).to.equal(false)
    expect((await get().findTurn({ ...key, turn }))?.status).to.equal('open')
    expect(await listed(get(), key)).to.deep.equal(['user:a question'])
  })
}

function refuses(get: Get): void {
  const cases: Record<string, (store: Store, key: SessionKey) => Promise<unknown>> = {
    'a key of 256 bytes': (store, key) => store.beginTurn(aBegin(key, { key: 'é'.repeat(128) })),
    'a key with NUL': (store, key) => store.beginTurn(aBegin(key, { key: 'a\0b' })),
    'a key with a lone surrogate': (store, key) => store.beginTurn(aBegin(key, { key: '\ud800' })),
    'a nonce that is no UUID': (store, key) => store.beginTurn(aBegin(key, { nonce: 'x' })),
    'a session id with NUL': (store, key) => store.findSession({ ...key, sessionId: '\0' }),
    'a limit of 1,001': (store, key) => store.listMessages(key, { limit: 1_001 }),
    'a limit of 0': (store, key) => store.listSessions(key.userId, { limit: 0 }),
    'an offset of 1,001': (store, key) => store.listMessages(key, { limit: 1, offset: 1_001 }),
    'a forged message cursor': (store, key) => store.listMessages(key, { limit: 1, after: 'bm9wZQ' }),
    'a forged session cursor': (store, key) => store.listSessions(key.userId, { limit: 1, after: 'bm9wZQ' }),
    '1,001 messages of history': (store, key) => store.changeSession({ ...key, maxHistoryMessages: 1_001 }),
  }
  for (const [name, attempt] of Object.entries(cases)) {
    it(`refuses ${name}`, async () => {
      const key = await aSession(get())
      const error = await attempt(get(), key).then(
        () => undefined,
        (fault: unknown) => fault,
      )
      expect(error).to.be.instanceOf(InvalidRequest)
    })
  }

  it('takes a key of 255 bytes', async () => {
    const key = await aSession(get())
    expect(await get().beginTurn(aBegin(key, { key: 'k'.repeat(255) }))).to.include({ status: 'begun' })
  })
}
