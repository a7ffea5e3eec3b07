import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

import { expect } from 'chai'
import { Cluster, Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'

import type { BreakerState } from '../../lib/cache/breaker.js'
import type { Cache } from '../../lib/cache/cache.js'
import type { RedisConnection } from '../../lib/cache/connection.js'
import { RedisCache, type RedisCacheOptions } from '../../lib/cache/redis.js'
import type { History } from '../../lib/model/history.js'
import type { SessionKey } from '../../lib/model/session.js'
import type { Service } from '../services/daemon.js'
import { startRedis, startRedisCluster, type RedisCluster } from '../services/redis.js'
import { startProxy } from './proxy.js'
import { aHistory, aSession } from './samples.js'
import { until } from './until.js'

interface Watched {
  readonly cache: Cache
  readonly told: BreakerState[]
  readonly end: () => Promise<void>
}

function watched(connection: RedisConnection, options: Partial<RedisCacheOptions> = {}): Watched {
  const told: BreakerState[] = []
  const cache = new RedisCache({ connection, onState: (state) => void told.push(state), ...options })
  return { cache, told, end: () => cache.close() }
}

function watchedHosts(client: Redis): Watched {
  client.on('error', () => {})
  return { ...watched(client), end: async () => client.disconnect() }
}

const kinds: { name: string; connect: (url: string) => Watched }[] = [
  { name: 'own connection, ioredis 6', connect: (url) => watched(url) },
  { name: 'own connection, ioredis 5', connect: (url) => watched(url, { load: () => import('ioredis5') }) },
  { name: "host's client, ioredis 6", connect: (url) => watchedHosts(new Redis(url)) },
  { name: "host's client, ioredis 5", connect: (url) => watchedHosts(new Redis5(url) as unknown as Redis) },
]

/** Twenty times the deadline, and a tenth of the time that ioredis alone would let a call hang. */
const patienceMs = 1000

/** What a read found; rejects when it took far longer than any deadline. */
async function readInTime(cache: Cache, session: SessionKey): Promise<History | undefined> {
  const late = new AbortController()
  const timer = delay(patienceMs, 'late' as const, { signal: late.signal }).catch(() => 'late' as const)
  const hit = await Promise.race([cache.read(session), timer])
  late.abort()
  if (hit === 'late') throw new Error('The read outlasted its deadline.')
  return hit?.history
}

/** Many requests at once, for as long as `during` takes; each reads within its deadline. */
async function underLoad(cache: Cache, during: () => Promise<unknown>): Promise<void> {
  const over = new AbortController()
  const client = async (): Promise<void> => {
    const session = aSession()
    while (!over.signal.aborted) {
      const history = aHistory()
      cache.write(session, history)
      await readInTime(cache, session)
      await delay(5)
    }
  }
  const clients = Array.from({ length: 10 }, client)
  await Promise.race([during(), ...clients]).finally(() => over.abort())
  await Promise.all(clients)
}

async function works(cache: Cache): Promise<boolean> {
  const session = aSession()
  const history = aHistory()
  cache.write(session, history)
  return (await readInTime(cache, session))?.revision === history.revision
}

const states = ({ told }: Watched): string[] => told.map(({ state }) => state)

/** One word for each change: a stall of the machine may add a pair, hundreds of requests do not. */
function expectFewWords(subject: Watched): void {
  expect(states(subject).slice(0, 2)).to.deep.equal(['unavailable', 'available'])
  expect(subject.told.length).to.be.below(7)
}

const unavailable = (subject: Watched) => until(() => states(subject).at(-1) === 'unavailable')
const availableAgain = (subject: Watched) =>
  until(async () => (await works(subject.cache)) && states(subject).at(-1) === 'available')

for (const { name, connect } of kinds)
  describe(`Redis faults: ${name}`, function () {
    this.timeout(40_000)
    let server: Service
    let subject: Watched

    before(async () => {
      server = await startRedis()
    })

    after(() => server.stop())

    const begun = async (): Promise<void> => {
      subject = connect(server.url)
      await subject.cache.ready()
    }

    afterEach(() => subject.end())

    it('refused at first, it is used once it is there', async () => {
      await server.crash()
      await begun()
      await underLoad(subject.cache, () => unavailable(subject))
      await server.restart()
      await underLoad(subject.cache, () => availableAgain(subject))
      expectFewWords(subject)
    })

    it('killed under load, it is left alone until it is back', async () => {
      await begun()
      await until(() => works(subject.cache))
      await underLoad(subject.cache, async () => {
        await server.crash()
        await unavailable(subject)
      })
      await server.restart()
      await underLoad(subject.cache, () => availableAgain(subject))
      expectFewWords(subject)
    })

    it('frozen under load, it is left alone until it moves again', async () => {
      await begun()
      await until(() => works(subject.cache))
      await underLoad(subject.cache, async () => {
        process.kill(server.pid, 'SIGSTOP')
        await unavailable(subject)
        await delay(2500)
        process.kill(server.pid, 'SIGCONT')
        await availableAgain(subject)
      })
      expectFewWords(subject)
    })

    it('flushed, it is a miss and no fault', async () => {
      await begun()
      await until(() => works(subject.cache))
      const session = aSession()
      subject.cache.write(session, aHistory())
      await inRedis(server, (admin) => admin.flushall())
      expect(await readInTime(subject.cache, session)).to.equal(undefined)
      await until(() => works(subject.cache))
      expect(subject.told.length).to.be.below(3)
    })

    it('full, it is left alone until there is room', async () => {
      await begun()
      await until(() => works(subject.cache))
      await inRedis(server, (admin) => admin.config('SET', 'maxmemory', '1'))
      await underLoad(subject.cache, () => unavailable(subject))
      await inRedis(server, (admin) => admin.config('SET', 'maxmemory', '0'))
      await underLoad(subject.cache, () => availableAgain(subject))
      expectFewWords(subject)
    })
  })

describe('Redis faults: a connection that carries nothing any more', function () {
  this.timeout(40_000)
  const ends: (() => Promise<void>)[] = []

  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
  })

  for (const { name, connect } of kinds.slice(0, 2))
    it(`is replaced, ${name}`, async () => {
      const server = await startRedis()
      const proxy = await startProxy(server.port)
      const subject = connect(`redis://127.0.0.1:${proxy.port}`)
      ends.push(
        subject.end,
        () => proxy.stop(),
        () => server.stop(),
      )
      await subject.cache.ready()
      await until(() => works(subject.cache))
      proxy.freeze()
      await underLoad(subject.cache, () => unavailable(subject))
      await underLoad(subject.cache, () => availableAgain(subject))
    })
})

describe('Redis faults: a Cluster', function () {
  this.timeout(90_000)
  let cluster: RedisCluster
  let host: Cluster
  let own: Watched

  before(async () => {
    cluster = await startRedisCluster()
    host = new Cluster([...cluster.addresses])
    host.on('error', () => {})
    own = watched({ nodes: cluster.addresses })
  })

  after(async () => {
    host.disconnect()
    await own.end()
    await cluster.stop()
  })

  it('loses a master under load; no read rejects or hangs, and the replica takes over', async () => {
    const subjects = [own, watched(host)]
    const sessions = Array.from({ length: 30 }, () => aSession())
    const allWork = async (cache: Cache): Promise<boolean> => {
      const history = aHistory()
      for (const session of sessions) cache.write(session, history)
      const found = await Promise.all(sessions.map((session) => readInTime(cache, session)))
      return found.every((each) => each?.revision === history.revision)
    }
    for (const { cache } of subjects) await cache.ready()
    for (const { cache } of subjects) await until(() => allWork(cache))
    await cluster.nodes[0]!.crash()
    for (const { cache } of subjects) await underLoad(cache, () => until(() => allWork(cache)))
  })
})

describe('Redis faults: the end of the process', function () {
  this.timeout(40_000)
  let server: Service

  before(async () => {
    server = await startRedis()
  })

  after(() => server.stop())

  const ends = async (...args: string[]): Promise<{ code: unknown; said: string }> => {
    const child = fork(new URL('using-process.ts', import.meta.url), args, {
      execArgv: ['--import', 'tsx', '--unhandled-rejections=strict'],
      silent: true,
    })
    let said = ''
    child.stderr!.on('data', (chunk) => (said += String(chunk)))
    child.on('message', () => process.kill(server.pid, 'SIGSTOP'))
    const [code] = (await once(child, 'exit')) as [unknown]
    return { code, said }
  }

  const clean = { code: 0, said: '' }

  it('is clean when Redis is well', async () => {
    expect(await ends(server.url)).to.deep.equal(clean)
  })

  it('is clean when Redis is refused', async () => {
    expect(await ends('redis://127.0.0.1:1')).to.deep.equal(clean)
  })

  it('is clean when a Cluster is refused', async () => {
    expect(await ends('cluster')).to.deep.equal(clean)
  })

  it('is clean when nothing was ever asked', async () => {
    expect(await ends(server.url, 'idle')).to.deep.equal(clean)
  })

  it('is clean when Redis is frozen', async () => {
    const ended = await ends(server.url, 'freeze')
    process.kill(server.pid, 'SIGCONT')
    expect(ended).to.deep.equal(clean)
  })
})

async function inRedis(server: Service, act: (admin: Redis) => Promise<unknown>): Promise<void> {
  const admin = new Redis(server.url)
  await act(admin)
  admin.disconnect()
}
