import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import knex, { type Knex } from 'knex'

import { HistoryUnavailable } from '../../lib/model/errors.js'
import type { SessionKey } from '../../lib/model/session.js'
import { PostgresStore, type StoreLimits } from '../../lib/store/postgres.js'
import type { Store } from '../../lib/store/store.js'
import { migrate } from '../../migrations/index.js'
import { freshDatabase } from '../services/postgres.js'
import { aBegin, aComplete, aSession, ask, assistant, begun, listed, user } from './asking.js'
import { child, type Child } from './child.js'
import { startProxy, type Proxy } from '../services/proxy.js'

describe('store: races', function () {
  this.timeout(60_000)
  let database: Awaited<ReturnType<typeof freshDatabase>>
  let admin: Knex
  let proxy: Proxy
  let stores: PostgresStore[]

  before(async () => {
    database = await freshDatabase()
    admin = knex({ client: 'pg', connection: database.url })
    await migrate(admin)
    proxy = await startProxy(database.url)
  })
  beforeEach(() => {
    stores = []
  })
  afterEach(async () => {
    proxy.swallow(false)
    proxy.refuse(false)
    await Promise.all(stores.map((store) => store.close()))
  })
  after(async () => {
    await proxy?.stop()
    await admin?.destroy()
    await database?.drop()
  })

  const aStore = (url = database.url, limits: StoreLimits = {}): PostgresStore => {
    const store = new PostgresStore({ database: url, ...limits })
    stores.push(store)
    return store
  }

  const turnsOf = async (session: SessionKey): Promise<{ turn: number; status: string }[]> =>
    admin('chat_turns')
      .where({ user_id: session.userId, session_id: session.sessionId })
      .orderBy('turn')
      .select('turn', 'status')

  /** Holds a session's row, as a slow process does, until it is released. */
  const hold = async (session: SessionKey): Promise<() => Promise<void>> => {
    const transaction = await admin.transaction()
    await transaction.raw('select 1 from chat_sessions where user_id = ? and id = ? for update', [
      session.userId,
      session.sessionId,
    ])
    return async () => {
      await transaction.rollback()
    }
  }

  it('a finished turn whose session is deleted while it is read is not there: it has no empty answer', async () => {
    const store = aStore()
    const key = await aSession(store)
    await ask(store, key)
    for (const change of ['deleteSession', 'clearSession'] as const) {
      const turn = (await ask(store, key)).turn
      const transaction = await admin.transaction()
      await transaction.raw('lock table chat_messages in access exclusive mode')
      const found = store.findFinishedTurn({ ...key, turn })
      while (!(await isBlocked())) await sleep(10)
      await store[change](key)
      await transaction.rollback()
      expect(await found, change).to.equal(undefined)
      await store.restoreSession(key)
    }
  })

  /** Somebody waits for the table of messages. */
  const isBlocked = async (): Promise<boolean> => {
    const waiting = await admin('pg_locks')
      .where({ granted: false })
      .whereRaw("relation = 'chat_messages'::regclass")
    return waiting.length > 0
  }

  async function runChildren(children: readonly Child[]): Promise<void> {
    try {
      const answers = await Promise.all(children.map((each) => each.answer))
      expect(answers).to.deep.equal(children.map(() => 'done'))
    } finally {
      await Promise.all(children.map((each) => each.end()))
    }
  }

  it('keeps 64 callers on one session from two processes gapless, each once and whole', async () => {
    const store = aStore()
    const session = { userId: 'u', sessionId: 'hot' }
    await store.createSession(session)
    const task = { do: 'call', url: database.url, sessions: ['hot'], callers: 32, turns: 6 } as const
    await runChildren(['a', 'b'].map((name) => child({ ...task, name })))

    const turns = await turnsOf(session)
    expect(turns).to.deep.equal(
      Array.from({ length: 384 }, (_, index) => ({ turn: index + 1, status: 'done' })),
    )
    const lines = await listed(store, session)
    expect(lines).to.have.length(768)
    for (let index = 0; index < lines.length; index += 2) {
      const text = lines[index]!.replace('user:ask ', '')
      expect(lines[index + 1]).to.equal(`assistant:say ${text}`)
    }
    expect(new Set(lines).size).to.equal(768)
  })

  it('does not deadlock when two processes write to the same sessions in other orders', async () => {
    const store = aStore()
    const sessions = Array.from({ length: 12 }, (_, index) => `d${index}`)
    for (const sessionId of sessions) await store.createSession({ userId: 'u', sessionId })
    const task = { do: 'call', url: database.url, callers: 24, turns: 8 } as const
    await runChildren([
      child({ ...task, name: 'a', sessions }),
      child({ ...task, name: 'b', sessions: [...sessions].reverse() }),
    ])
    let count = 0
    for (const sessionId of sessions) {
      const turns = await turnsOf({ userId: 'u', sessionId })
      expect(turns.map(({ turn }) => turn)).to.deep.equal(turns.map((_, index) => index + 1))
      count += turns.length
    }
    expect(count).to.equal(384)
    const { rows } = await admin.raw(
      'select deadlocks::int from pg_stat_database where datname = current_database()',
    )
    expect(rows).to.deep.equal([{ deadlocks: 0 }])
  })

  it('begins one turn for a key that is sent three times at once', async () => {
    const [one, two] = [aStore(), aStore()]
    const session = await aSession(one)
    for (let round = 0; round < 20; round++) {
      const key = `key ${round}`
      const answers = await Promise.all(
        [one, two, one].map((store) => store.beginTurn(aBegin(session, { key }))),
      )
      const turn = round + 1
      expect(answers.map((answer) => answer.status).sort()).to.deep.equal(['begun', 'running', 'running'])
      expect(answers.every((answer) => 'turn' in answer && answer.turn === turn)).to.equal(true)
    }
    expect(await turnsOf(session)).to.have.length(20)
  })

  it('begins one turn for a begin that arrives again, at once or late', async () => {
    const [one, two] = [aStore(), aStore()]
    const session = await aSession(one)
    for (let round = 1; round <= 20; round++) {
      const call = aBegin(session, round % 2 === 0 ? { key: `key ${round}` } : {})
      const [first, again] = await Promise.all([begun(one, call), begun(two, call)])
      await one.completeTurn(aComplete(call, first.turn))
      const late = await begun(two, call)
      expect([first.turn, again.turn, late.turn]).to.deep.equal([round, round, round])
    }
    expect(await listed(one, session)).to.have.length(40)
  })

  it('creates a session once when many begin in it at once', async () => {
    const [one, two] = [aStore(), aStore()]
    const session = { userId: randomUUID(), sessionId: 'new' }
    const calls = Array.from({ length: 30 }, () => aBegin(session, { create: { name: 'n' } }))
    const turns = await Promise.all(calls.map((call, index) => begun(index % 2 === 0 ? one : two, call)))
    const numbers = turns.map(({ turn }) => turn).sort((a, b) => a - b)
    expect(numbers).to.deep.equal(calls.map((_, index) => index + 1))
  })

  it('lets nobody wait for a row that another process holds but its own callers', async () => {
    const store = aStore()
    const [held, free] = [await aSession(store), await aSession(store)]
    const release = await hold(held)
    let begunWhileHeld = 0
    const waiting = Array.from({ length: 10 }, () =>
      begun(store, aBegin(held)).then((turn) => {
        begunWhileHeld++
        return turn.turn
      }),
    )
    await Promise.all(Array.from({ length: 20 }, () => ask(store, free)))
    expect(begunWhileHeld).to.equal(0)
    await release()
    expect((await Promise.all(waiting)).sort((a, b) => a - b)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(await turnsOf(free)).to.have.length(20)
  })

  it('finds its turn again when the acknowledgement of a begin is lost', async () => {
    const store = aStore(proxy.url)
    const session = await aSession(store)
    for (let round = 1; round <= 5; round++) {
      proxy.loseNextAnswer()
      const turn = await begun(store, aBegin(session, { question: [user(`q${round}`)] }))
      expect(turn.turn).to.equal(round)
    }
    expect(await listed(store, session)).to.deep.equal([1, 2, 3, 4, 5].map((round) => `user:q${round}`))
  })

  it('stores an answer once when the acknowledgement of its completion is lost', async () => {
    const store = aStore(proxy.url)
    const session = await aSession(store)
    const call = aBegin(session)
    const { turn } = await begun(store, call)
    proxy.loseNextAnswer()
    const completed = await store.completeTurn(aComplete(call, turn))
    expect(completed).to.deep.equal({ status: 'repeated' })
    expect(await listed(store, session)).to.deep.equal(['user:a question', 'assistant:an answer'])
  })

  it('goes on when the database refuses for a moment', async () => {
    const store = aStore(proxy.url)
    const session = await aSession(store)
    proxy.refuse(true)
    const turn = begun(store, aBegin(session))
    setTimeout(() => proxy.refuse(false), 200)
    expect((await turn).turn).to.equal(1)
  })

  it('says that the history is unavailable when nothing comes back, and recovers', async () => {
    const store = aStore(proxy.url, { acquireMs: 200, statementMs: 200, retryMs: 200 })
    const session = await aSession(store)
    proxy.swallow(true)
    const attempts = [store.beginTurn(aBegin(session)), store.findSession(session), store.ready()]
    for (const error of await Promise.all(attempts.map(fault))) {
      expect(error).to.be.instanceOf(HistoryUnavailable)
      expect(error).to.include({ status: 503, retryAfterSeconds: 1 })
    }
    proxy.swallow(false)
    proxy.refuse(true)
    proxy.refuse(false)
    expect((await ask(store, session)).turn).to.equal(1)
  })

  it('finishes the calls that it has when it is closed, and refuses later ones', async () => {
    const store = aStore()
    const session = await aSession(store)
    const running = [store.findSession(session), begun(store, aBegin(session))]
    await new Promise(setImmediate)
    await store.close()
    expect(await Promise.all(running)).to.have.length(2)
    expect(await fault(store.findSession(session))).to.match(/The store is closed/)
    expect(await fault(store.beginTurn(aBegin(session)))).to.match(/The store is closed/)
  })

  it('throws a connection away that missed its deadline, so that the next call does not stand behind it', async () => {
    const store = new PostgresStore({ database: database.url, connections: 1, statementMs: 300, retryMs: 0 })
    stores.push(store)
    const [held, free] = [await aSession(store), await aSession(store)]
    const release = await hold(held)
    const attempt = { ...held, name: 'waits for the row' }
    expect(await fault(store.changeSession(attempt))).to.be.instanceOf(HistoryUnavailable)
    expect((await store.findSession(free))?.id).to.equal(free.sessionId)
    await release()
  })

  it('runs a begin once that was given up while it waited for the row', async () => {
    const store = aStore(database.url, { statementMs: 200, retryMs: 100 })
    const session = await aSession(store)
    const release = await hold(session)
    const call = aBegin(session)
    expect(await fault(store.beginTurn(call))).to.be.instanceOf(HistoryUnavailable)
    await release()
    expect((await begun(store, call)).turn).to.equal(1)
    expect((await begun(store, aBegin(session))).turn).to.equal(2)
    expect(await turnsOf(session)).to.have.length(2)
  })

  it('lets no answer back in that comes while the history is cleared', async () => {
    const [one, two] = [aStore(), aStore()]
    const session = await aSession(one)
    const calls = Array.from({ length: 30 }, () => aBegin(session))
    const turns = await Promise.all(calls.map((call) => begun(one, call)))
    const completions = calls.map((call, index) => one.completeTurn(aComplete(call, turns[index]!.turn)))
    await two.clearSession(session)
    const statuses = new Set((await Promise.all(completions)).map(({ status }) => status))
    expect([...statuses].every((status) => status === 'completed' || status === 'cleared')).to.equal(true)
    expect(await listed(one, session)).to.deep.equal([])
    expect((await one.readHistory(session))?.history.turns).to.deep.equal([])
  })

  it('names one revision for one history while turns complete', async () => {
    const [one, two] = [aStore(), aStore()]
    const session = await aSession(one)
    const seen = new Map<string, string>()
    const look = async (store: Store): Promise<void> => {
      const { history } = (await store.readHistory(session))!
      const text = JSON.stringify(history.turns)
      expect(seen.get(history.revision) ?? text).to.equal(text)
      seen.set(history.revision, text)
    }
    const write = async (store: Store): Promise<void> => {
      for (let n = 0; n < 30; n++) await ask(store, session, {}, { answer: [assistant(randomUUID())] })
    }
    let writers = 2
    const isWriting = (): boolean => writers > 0
    const written = [one, two].map((store) => write(store).finally(() => writers--))
    const reading = (async () => {
      do await Promise.all([look(one), look(two), look(one)])
      while (isWriting())
    })()
    await Promise.all([...written, reading])
    expect(seen.size).to.be.greaterThan(5)
  })
})

const fault = (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => undefined,
    (error: unknown) => error,
  )
