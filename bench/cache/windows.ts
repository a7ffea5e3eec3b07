/*
 * What a window in a cache saves, and what a Redis that goes away costs: a begin and its ending through the whole core, on
 * a Postgres and a Redis of the run's own.
 */
import { randomUUID } from 'node:crypto'

import knex from 'knex'

import { createTurnlog, type Turnlog, type TurnlogOptions } from '../../lib/index.js'
import { migrate } from '../../migrations/index.js'
import type { Service } from '../../test/services/daemon.js'
import { startPostgres } from '../../test/services/postgres.js'
import { startRedis } from '../../test/services/redis.js'
import { text } from '../places.js'

const userId = 'bench'
const rounds = 7
const sessions = 40
const workers = 4

/** Milliseconds. */
const shareOf = (took: readonly number[], share: number): number =>
  took.toSorted((a, b) => a - b)[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0
const ms = (value: number): string => `${value.toFixed(2)} ms`

async function withServices(use: (database: string, redis: Service) => Promise<void>): Promise<void> {
  const [postgres, redis] = await Promise.all([
    startPostgres({ settings: { fsync: 'on', full_page_writes: 'on' } }),
    startRedis(),
  ])
  const admin = knex({ client: 'pg', connection: postgres.url, pool: { min: 0, max: 1 } })
  try {
    await migrate(admin)
    await use(postgres.url, redis)
  } finally {
    await admin.destroy()
    await Promise.all([postgres.stop(), redis.stop()])
  }
}

async function turn(turnlog: Turnlog, sessionId: string): Promise<number> {
  const start = performance.now()
  const begun = await turnlog.begin({ userId, sessionId, question: text })
  const took = performance.now() - start
  await begun.complete(text)
  return took
}

/** Sessions whose windows are full, and known to the caches of this process. */
async function talked(turnlog: Turnlog): Promise<string[]> {
  const ids = Array.from({ length: sessions }, () => randomUUID())
  for (const id of ids) {
    await turnlog.sessions.create({ userId, id })
    for (let n = 0; n < 10; n++) await turn(turnlog, id)
  }
  return ids
}

/** One begin in each session, by a few at once. */
async function begins(turnlog: Turnlog, ids: readonly string[]): Promise<number[]> {
  const left = [...ids]
  const took: number[] = []
  const work = async (): Promise<void> => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) took.push(await turn(turnlog, id))
  }
  await Promise.all(Array.from({ length: workers }, work))
  return took
}

/** Each kind in turn, round by round, so that whatever the machine does meanwhile it does to all of them. */
async function printTurns(database: string, redis: Service): Promise<void> {
  const quiet: TurnlogOptions = { database, redis: redis.url }
  const warm = createTurnlog(quiet)
  const redisAlone = createTurnlog({ ...quiet, maxMemoryBytes: 0 })
  const none = createTurnlog({ database, maxMemoryBytes: 0 })
  const [ids, others] = [await talked(warm), await talked(warm)]
  const took: Record<string, number[]> = {}
  const measure = async (kind: string, turnlog: Turnlog): Promise<void> => {
    took[kind] = [...(took[kind] ?? []), ...(await begins(turnlog, ids))]
  }
  for (let round = 0; round < rounds; round++) {
    await begins(warm, ids)
    await measure('warm, memory', warm)
    await measure('warm, Redis', redisAlone)
    // A process that has just started, before a Redis that has just been flushed: asked, and nothing there.
    const other = await startRedis()
    const cold = createTurnlog({ database, redis: other.url })
    // Its connections are open, and its code is hot.
    await begins(cold, others)
    await measure('cold', cold)
    await cold.close({ drainMs: 0 })
    await other.stop()
    await measure('no cache', none)
  }
  const plain = shareOf(took['no cache']!, 0.5)
  console.log(`A begin, ${sessions} sessions of 20 messages, ${workers} at once, ${rounds} rounds in turn`)
  console.table(
    Object.entries(took).map(([kind, all]) => ({
      kind,
      median: ms(shareOf(all, 0.5)),
      p99: ms(shareOf(all, 0.99)),
      'of no cache': (shareOf(all, 0.5) / plain).toFixed(2),
    })),
  )
  await Promise.all([warm, redisAlone, none].map((turnlog) => turnlog.close({ drainMs: 0 })))
}

interface Begin {
  readonly at: number
  readonly took: number
  readonly source: string
}

/** The begins of a few users who talk without a pause, from now on until `during` has passed. */
async function watch(
  turnlog: Turnlog,
  ids: readonly string[],
  during: () => Promise<void>,
): Promise<readonly Begin[]> {
  const begun: Begin[] = []
  const over = new AbortController()
  const work = async (worker: number): Promise<void> => {
    for (let n = worker; !over.signal.aborted; n += workers) {
      const at = performance.now()
      const begin = await turnlog.begin({ userId, sessionId: ids[n % ids.length]!, question: text })
      begun.push({ at, took: performance.now() - at, source: begin.receipt.source })
      await begin.complete(text)
    }
  }
  const working = Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)))
  await during().finally(() => over.abort())
  await working
  return begun
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

/** What an outage adds to the 99th percentile of a begin from Redis: in its first second, and after it. */
async function outage(
  database: string,
  redis: Service,
  down: () => unknown,
  up: () => unknown,
): Promise<object> {
  const turnlog = createTurnlog({ database, redis: redis.url, maxMemoryBytes: 0 })
  const plain = createTurnlog({ database, maxMemoryBytes: 0 })
  const ids = await talked(turnlog)
  // Without a cache, in the same minute on the same machine: what is left when Redis is out of the way.
  const without = await watch(plain, ids, () => pause(4000))
  let [gone, back] = [0, 0]
  const begun = await watch(turnlog, ids, async () => {
    await pause(4000)
    gone = performance.now()
    await down()
    await pause(5000)
    await up()
    back = performance.now()
    await pause(6000)
  })
  await Promise.all([turnlog, plain].map((each) => each.close({ drainMs: 0 })))
  const tookFrom = (from: number, to: number): number[] =>
    begun.filter(({ at }) => at >= from && at < to).map(({ took }) => took)
  const plainTook = without.map(({ took }) => took)
  const added = (from: number, to: number, share: number): string =>
    ms(shareOf(tookFrom(from, to), share) - shareOf(plainTook, share))
  const again = begun.find(({ at, source }) => at > back && source === 'redis')
  return {
    begins: begun.length,
    'p99, no cache': ms(shareOf(plainTook, 0.99)),
    'p99, Redis': ms(shareOf(tookFrom(0, gone), 0.99)),
    'added, 1st second': added(gone, gone + 1000, 0.99),
    'added, after it': added(gone + 1000, gone + 5000, 0.99),
    // On a busy machine a 99th percentile is the machine's.
    'to the median': added(gone + 1000, gone + 5000, 0.5),
    'normal again after': again === undefined ? 'never' : `${((again.at - back) / 1000).toFixed(1)} s`,
  }
}

export async function printWindows(): Promise<void> {
  await withServices(async (database, redis) => {
    await printTurns(database, redis)
    const rows = {
      killed: await outage(
        database,
        redis,
        () => redis.crash(),
        () => redis.restart(),
      ),
      'frozen (SIGSTOP)': await outage(
        database,
        redis,
        () => process.kill(redis.pid, 'SIGSTOP'),
        () => process.kill(redis.pid, 'SIGCONT'),
      ),
    }
    console.log(
      `Redis away for 5 s under ${workers} users, no window in memory; a request that fails ends the run`,
    )
    console.table(rows)
  })
}
