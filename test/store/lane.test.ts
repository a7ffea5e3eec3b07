import { expect } from 'chai'

import { HistoryUnavailable } from '../../lib/model/errors.js'
import type { Database, Statement } from '../../lib/store/database.js'
import { Lane } from '../../lib/store/lane.js'

interface Call {
  readonly user: string
  readonly session: string
  readonly name: string
}

/** A database that answers each call with its name, when it is let. */
class Answering {
  readonly deadlines = { acquireMs: 1000, statementMs: 1000, retryMs: 200, queue: 100 }
  readonly batches: string[][] = []
  private readonly gates: (() => void)[] = []
  private open = false

  constructor(private readonly answer: (call: Call, wait: boolean) => unknown = (call) => call.name) {}

  async arrays({ values }: Statement): Promise<unknown[][]> {
    // A lone call names its user and session beside it; several come as a list.
    const wait = values.at(-1) as boolean
    const calls = [JSON.parse(values.at(-2) as string) as Call | Call[]].flat()
    this.batches.push(calls.map((call) => call.name))
    if (!this.open) await new Promise<void>((resolve) => this.gates.push(resolve))
    return calls.map((call) => [this.answer(call, wait), call.name])
  }

  letGo(): void {
    this.open = true
    for (const gate of this.gates) gate()
  }
}

const laneOver = (database: Answering, queue = 100): Lane =>
  new Lane({ database: database as unknown as Database, procedure: 'f', queue, single: false })

function call(lane: Lane, name: string, user = 'u', session = 's'): Promise<unknown> {
  const text = JSON.stringify({ user, session, name })
  return lane.call({ userId: user, sessionId: session }, text).then((row) => row[0])
}

const fault = (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => undefined,
    (error: unknown) => error,
  )

describe('store: lane', () => {
  it('sends a lone call at once, and what arrives meanwhile together', async () => {
    const database = new Answering()
    const lane = laneOver(database)
    const calls = ['a', 'b', 'c'].map((name) => call(lane, name))
    expect(database.batches).to.deep.equal([['a']])
    database.letGo()
    expect(await Promise.all(calls)).to.deep.equal(['a', 'b', 'c'])
    expect(database.batches).to.deep.equal([['a'], ['b', 'c']])
  })

  it('orders a batch by user and session, and keeps one session’s calls as they came', async () => {
    const database = new Answering()
    const lane = laneOver(database)
    const first = call(lane, 'first')
    const calls = [
      call(lane, '1', 'z', 'a'),
      call(lane, '2', 'a', 'z'),
      call(lane, '3', 'a', 'b'),
      call(lane, '4', 'a', 'z'),
    ]
    database.letGo()
    expect(await Promise.all([first, ...calls])).to.deep.equal(['first', '1', '2', '3', '4'])
    expect(database.batches[1]).to.deep.equal(['3', '2', '4', '1'])
  })

  /** How many calls left together, where each batch takes so many milliseconds by the process's clock. */
  const batchesOf = async (names: readonly string[], ms = 0): Promise<number[]> => {
    let now = 0
    const database = new Answering(() => void (now += ms))
    const lane = laneOver(database, 1000)
    Object.assign(performance, { now: () => now })
    try {
      const calls = names.map((name) => call(lane, name))
      database.letGo()
      await Promise.all(calls)
    } finally {
      Reflect.deleteProperty(performance, 'now')
    }
    return database.batches.map((batch) => batch.length)
  }
  const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`)

  it('takes half of what waits into a batch, and at least 16', async () => {
    expect(await batchesOf(names(33))).to.deep.equal([1, 16, 16])
    expect(await batchesOf(names(49))).to.deep.equal([1, 24, 16, 8])
  })

  it('takes all that waits where the database is slow or away', async () => {
    expect(await batchesOf(names(33), 6)).to.deep.equal([1, 32])
  })

  it('takes no more than 64 calls into a batch, and no more than four megabytes', async () => {
    expect((await batchesOf(names(401))).slice(0, 4)).to.deep.equal([1, 64, 64, 64])
    const big = 'x'.repeat(3 * 1024 * 1024)
    expect(await batchesOf(['first', ...names(3), big, big])).to.deep.equal([1, 4, 1])
  })

  it('refuses the call that is one too many, and takes one again later', async () => {
    const database = new Answering()
    const lane = laneOver(database, 3)
    const calls = ['a', 'b', 'c'].map((name) => call(lane, name))
    expect(await fault(call(lane, 'd'))).to.be.instanceOf(HistoryUnavailable)
    database.letGo()
    await Promise.all(calls)
    expect(await call(lane, 'e')).to.equal('e')
  })

  it('repeats a failed batch one by one, so that one bad call fails alone', async () => {
    const database = new Answering(({ name }) => {
      if (name === 'bad') throw Object.assign(new Error('broken'), { code: 'XX000' })
      return name
    })
    const lane = laneOver(database)
    const good = [call(lane, 'a'), call(lane, 'b')]
    const bad = call(lane, 'bad')
    const last = call(lane, 'c')
    database.letGo()
    const error = await fault(bad)
    expect(error).to.be.instanceOf(HistoryUnavailable)
    expect((error as Error).cause).to.include({ code: 'XX000' })
    expect(await Promise.all([...good, last])).to.deep.equal(['a', 'b', 'c'])
    expect(database.batches.slice(1)).to.deep.equal([['b', 'bad', 'c'], ['b'], ['bad'], ['c']])
  })

  it('retries a fault that passes, and gives up when the time is over', async () => {
    let left = 2
    const database = new Answering(({ name }) => {
      if (name === 'never' || left-- > 0) throw Object.assign(new Error('gone'), { code: '57P01' })
      return name
    })
    database.letGo()
    const lane = laneOver(database)
    expect(await call(lane, 'a')).to.equal('a')
    expect(await fault(call(lane, 'never'))).to.be.instanceOf(HistoryUnavailable)
    expect(await call(lane, 'b')).to.equal('b')
  })

  it('calls what is locked again, waiting, without holding up the others', async () => {
    const waited: string[] = []
    const database = new Answering(({ name, session }, wait) => {
      if (session !== 'held') return name
      if (wait) waited.push(name)
      return wait ? name : 'locked'
    })
    database.letGo()
    const lane = laneOver(database)
    const calls = [
      call(lane, 'a'),
      call(lane, 'b', 'u', 'held'),
      call(lane, 'c'),
      call(lane, 'd', 'u', 'held'),
    ]
    expect(await Promise.all(calls)).to.deep.equal(['a', 'b', 'c', 'd'])
    expect(waited.sort()).to.deep.equal(['b', 'd'])
  })
})
