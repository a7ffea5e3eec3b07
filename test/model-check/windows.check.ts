import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { expect } from 'chai'
import { Redis } from 'ioredis'

import { freshMigratedDatabase } from '../services/core.js'
import { startRedisCluster, type RedisCluster } from '../services/redis.js'
import { Clients, type Outcome, type Task } from './clients.js'

/** Begins in all. A look at a change needs fewer: `BEGINS=5000 npx mocha test/model-check/windows.check.ts`. */
const begins = Number(process.env.BEGINS ?? 104_000)

function inAnotherProcess(task: Task): Promise<Outcome> {
  const script = fileURLToPath(new URL('other-process.ts', import.meta.url))
  const started = fork(script, [JSON.stringify(task)], { execArgv: ['--import', 'tsx'] })
  const failed = once(started, 'exit').then(() => {
    throw new Error('The other process ended without an outcome.')
  })
  failed.catch(() => undefined)
  return Promise.race([once(started, 'message').then(([said]) => said as Outcome), failed])
}

/** Every few seconds everything is forgotten; once, a master is killed and its replica takes over. */
async function disturb(cluster: RedisCluster, { signal }: AbortController): Promise<void> {
  let live = [...cluster.nodes]
  for (let round = 1; !signal.aborted; round++) {
    await sleep(1500, undefined, { signal }).catch(() => undefined)
    if (round === 2) {
      await live[0]!.crash()
      live = live.slice(1)
    }
    await Promise.all(live.map(({ url }) => flush(url)))
  }
}

async function flush(url: string): Promise<void> {
  const client = new Redis(url)
  // A replica refuses.
  await client.flushall().catch(() => undefined)
  client.disconnect()
}

describe('windows under random clients', function () {
  this.timeout(800_000)
  let cluster: RedisCluster
  let database: { url: string; drop(): Promise<void> }
  let outcomes: readonly Outcome[]

  before(async () => {
    cluster = await startRedisCluster()
    database = await freshMigratedDatabase()
    const task = { url: database.url, nodes: cluster.addresses, begins: begins / 2 }
    const done = new AbortController()
    const disturbing = disturb(cluster, done)
    outcomes = await Promise.all([new Clients(task).run(), inAnotherProcess(task)])
    done.abort()
    await disturbing
  })
  after(async () => {
    await database?.drop()
    await cluster?.stop()
  })

  const sum = (field: 'begins' | 'right' | 'unknown' | 'refused' | 'steady' | 'steadyHits'): number =>
    outcomes.reduce((total, outcome) => total + outcome[field], 0)

  it('are never others than Postgres would have given', () => {
    expect(outcomes.flatMap(({ wrong }) => wrong).slice(0, 3)).to.deep.equal([])
    expect(sum('begins')).to.be.at.least(begins)
    // The test would say nothing if caches were hardly believed, or Postgres had always moved on.
    expect(sum('right')).to.be.above(begins / 2)
    expect(sum('unknown')).to.be.below(begins / 20)
    expect(sum('refused')).to.be.below(begins / 10)
  })

  it('fail nobody', () => {
    expect(outcomes.flatMap(({ faults }) => faults).slice(0, 3)).to.deep.equal([])
  })

  it('are found in 95 of 100 turns of clients who take turns one after another', () => {
    expect(sum('steadyHits') / sum('steady')).to.be.above(0.95)
  })
})
