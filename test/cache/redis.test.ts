import { randomUUID } from 'node:crypto'
import { createServer, type AddressInfo, type Socket } from 'node:net'

import { expect } from 'chai'
import { Cluster, Redis, type ClusterNode, type ClusterOptions } from 'ioredis'
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis5'

import type { BreakerState } from '../../lib/cache/breaker.js'
import type { Cache } from '../../lib/cache/cache.js'
import type { RedisClient, RedisConnection, RedisModule } from '../../lib/cache/connection.js'
import { LayeredCache } from '../../lib/cache/layers.js'
import { MemoryCache } from '../../lib/cache/memory.js'
import { RedisCache } from '../../lib/cache/redis.js'
import { Misconfigured } from '../../lib/model/errors.js'
import { startRedis, startRedisCluster, type RedisCluster } from '../services/redis.js'
import { keepsTheContract, type CacheUnderTest } from './contract.js'
import { neverBelievesWhatIsPlanted } from './planted.js'
import { aHistory, aSession, aTurn } from './samples.js'
import { until } from './until.js'

interface HostClient extends RedisClient {
  disconnect(): void
}

const versions: {
  name: string
  load: () => Promise<RedisModule>
  Redis: typeof Redis
  Cluster: typeof Cluster
}[] = [
  { name: 'ioredis 6', load: () => import('ioredis'), Redis, Cluster },
  {
    name: 'ioredis 5',
    load: () => import('ioredis5'),
    Redis: Redis5 as unknown as typeof Redis,
    Cluster: Cluster5 as unknown as typeof Cluster,
  },
]

// A busy machine may take longer than the 50 ms that a request waits; the deadline has tests of its own.
const patient = { maxEntryBytes: 64 * 1024, deadlineMs: 10_000 }

const cacheOf = (connection: RedisConnection, load?: () => Promise<RedisModule>): RedisCache =>
  new RedisCache({ ...patient, connection, load, keyPrefix: `test:${randomUUID()}:` })

async function ours(connection: RedisConnection, load: () => Promise<RedisModule>): Promise<CacheUnderTest> {
  const cache = await connected(cacheOf(connection, load))
  return { cache, end: () => cache.close() }
}

/** A connection of the cache's own takes nothing before it stands. */
async function connected<Own extends Cache>(cache: Own): Promise<Own> {
  const session = aSession()
  await until(async () => {
    cache.write(session, aHistory())
    return (await cache.read(session)) !== undefined
  })
  return cache
}

function hosts(client: HostClient): CacheUnderTest {
  return { cache: cacheOf(client), end: async () => client.disconnect() }
}

const sharedUrl = (): string => process.env['TEST_REDIS_URL']!

for (const { name, load, Redis } of versions) {
  keepsTheContract({
    name: `Redis by URL, ${name}`,
    layer: 'redis',
    start: async () => ours(sharedUrl(), load),
  })

  keepsTheContract({
    name: `Redis by options, ${name}`,
    layer: 'redis',
    start: async () => ours({ port: Number(new URL(sharedUrl()).port), keyPrefix: 'host:' }, load),
  })

  keepsTheContract({
    name: `Redis by the host's client, ${name}`,
    layer: 'redis',
    start: async () => hosts(new Redis(sharedUrl())),
  })

  keepsTheContract({
    name: `memory before Redis, ${name}`,
    layer: 'memory',
    start: async () => {
      const redis = await connected(cacheOf(sharedUrl(), load))
      const cache = new LayeredCache([new MemoryCache(patient), redis])
      return { cache, end: () => cache.close() }
    },
  })

  neverBelievesWhatIsPlanted({
    name: `Redis, ${name}`,
    start: async (keyPrefix) => {
      const client = new Redis(sharedUrl())
      const cache = new RedisCache({ ...patient, connection: client, keyPrefix })
      return { cache, client, end: async () => client.disconnect() }
    },
  })

  neverBelievesWhatIsPlanted({
    name: `memory before Redis, ${name}`,
    start: async (keyPrefix) => {
      const client = new Redis(sharedUrl())
      const redis = new RedisCache({ ...patient, connection: client, keyPrefix })
      const cache = new LayeredCache([new MemoryCache({ maxBytes: 1 }), redis])
      return { cache, client, end: async () => client.disconnect() }
    },
  })

  describe(`Redis by the host's client, ${name}`, () => {
    it('is left open and as it was', async () => {
      const client = new Redis(sharedUrl())
      const listeners = client.eventNames().map((event) => [event, client.listenerCount(event)])
      const options = { ...client.options }
      const cache = cacheOf(client)
      await cache.ready()
      const session = aSession()
      cache.write(session, aHistory())
      await cache.read(session)
      await cache.close()
      expect(await client.ping()).to.equal('PONG')
      expect(client.options).to.deep.equal(options)
      expect(client.eventNames().map((event) => [event, client.listenerCount(event)])).to.deep.equal(
        listeners,
      )
      client.disconnect()
    })

    it('drops the entry when the history cannot be JSON', async () => {
      const client = new Redis(sharedUrl())
      const cache = cacheOf(client)
      await cache.ready()
      const session = aSession()
      cache.write(session, aHistory())
      const turn = aTurn(1, { messages: [{ message: { role: 'user', content: 1n } }] })
      cache.write(session, aHistory({ turns: [turn] }))
      expect(await cache.read(session)).to.equal(undefined)
      client.disconnect()
    })

    it('is a miss once the host has closed it', async () => {
      const client = new Redis(sharedUrl())
      const cache = cacheOf(client)
      const session = aSession()
      cache.write(session, aHistory())
      await client.quit()
      expect(await cache.read(session)).to.equal(undefined)
    })
  })
}

describe('Redis Cluster', function () {
  this.timeout(60_000)
  let cluster: RedisCluster

  before(async () => {
    cluster = await startRedisCluster()
  })

  after(() => cluster.stop())

  for (const { name, load, Cluster } of versions) {
    keepsTheContract({
      name: `Redis Cluster by its nodes, ${name}`,
      layer: 'redis',
      start: async () => ours({ nodes: cluster.addresses }, load),
    })

    keepsTheContract({
      name: `Redis Cluster by the host's client, ${name}`,
      layer: 'redis',
      start: async () => hosts(new Cluster([...cluster.addresses])),
    })

    neverBelievesWhatIsPlanted({
      name: `Redis Cluster, ${name}`,
      start: async (keyPrefix) => {
        const client = new Cluster([...cluster.addresses])
        const cache = new RedisCache({ ...patient, connection: client, keyPrefix })
        return { cache, client, end: async () => client.disconnect() }
      },
    })
  }

  it('does not autopipeline, whatever the options say', async () => {
    let seen: unknown
    function Watched(nodes: ClusterNode[], options: ClusterOptions): Cluster {
      seen = options.enableAutoPipelining
      return new Cluster(nodes, options)
    }
    const module = { Redis, Cluster: Watched as unknown as RedisModule['Cluster'] }
    const cache = cacheOf({ nodes: cluster.addresses, enableAutoPipelining: true }, async () => module)
    await cache.ready()
    expect(seen).to.equal(false)
    await cache.close()
  })

  it('spreads sessions over all masters', async () => {
    const cache = await connected(cacheOf({ nodes: cluster.addresses }))
    const keys = Array.from({ length: 100 }, () => aSession())
    for (const key of keys) cache.write(key, aHistory())
    await Promise.all(keys.map((key) => cache.read(key)))
    await cache.close()
    for (const { url } of cluster.nodes.slice(0, 3)) {
      const client = new Redis(url)
      expect(await client.dbsize()).to.be.above(0)
      client.disconnect()
    }
  })
})

describe('Redis cache', () => {
  it('sends one GET, SET or DEL for each call and nothing else', async () => {
    const server = await startRedis()
    const admin = new Redis(server.url)
    const cache = await connected(cacheOf(server.url))
    const session = aSession()
    await cache.read(session)
    await admin.config('RESETSTAT')
    cache.write(session, aHistory())
    await cache.read(session)
    cache.drop(session)
    await cache.read(session)
    const stats = await admin.info('commandstats')
    const sent = [...stats.matchAll(/cmdstat_([a-z|]+):calls=(\d+)/g)].map(
      ([, name, calls]) => `${name} ${calls}`,
    )
    expect(sent.filter((call) => !/^(config|info)/.test(call))).to.have.members(['set 1', 'get 2', 'del 1'])
    admin.disconnect()
    await cache.close()
    await server.stop()
  })

  it('lets nothing of user or session reach a key, and gives every key about its time to live', async () => {
    const client = new Redis(sharedUrl())
    const keyPrefix = `test:${randomUUID()}:`
    const cache = new RedisCache({ ...patient, connection: client, keyPrefix, windowTtlSeconds: 1000 })
    await cache.ready()
    const ids = ['{a}', 'a:b', '*', 'a\nb', 'SECRET']
    for (const id of ids) cache.write({ userId: id, sessionId: id }, aHistory())
    await cache.read(aSession())
    const keys = await client.keys(`${keyPrefix}*`)
    expect(keys).to.have.length(ids.length)
    for (const key of keys) {
      expect(key.slice(keyPrefix.length)).to.match(/^[0-9a-f]{64}$/)
      expect(await client.pttl(key)).to.be.within(800_000, 1_100_000)
    }
    client.disconnect()
  })

  it('gives entries that are written together different times to live', async () => {
    const client = new Redis(sharedUrl())
    const keyPrefix = `test:${randomUUID()}:`
    const cache = new RedisCache({ ...patient, connection: client, keyPrefix, windowTtlSeconds: 100_000 })
    await cache.ready()
    for (let n = 0; n < 20; n++) cache.write(aSession(), aHistory())
    await cache.read(aSession())
    const times = await Promise.all((await client.keys(`${keyPrefix}*`)).map((key) => client.pttl(key)))
    expect(Math.max(...times) - Math.min(...times)).to.be.above(1_000_000)
    client.disconnect()
  })

  it('connects when it is first used, though nobody waited for ready', async () => {
    const cache = cacheOf(sharedUrl())
    const session = aSession()
    await until(async () => {
      cache.write(session, aHistory())
      return (await cache.read(session)) !== undefined
    })
    await cache.close()
  })

  it('is not blamed for a slow first handshake', async () => {
    const told: BreakerState[] = []
    const onState = (state: BreakerState): void => void told.push(state)
    const silent = await startSilentServer()
    const cache = new RedisCache({ connection: silent.url, onState, deadlineMs: 1 })
    await cache.ready()
    for (let n = 0; n < 10; n++) expect(await cache.read(aSession())).to.equal(undefined)
    expect(told).to.deep.equal([])
    await cache.close()
    await silent.stop()
  })

  it('says which package is missing and how to install it', async () => {
    const cache = cacheOf(sharedUrl(), () => Promise.reject(new Error("Cannot find package 'ioredis'")))
    const error = await cache.ready().catch((error: unknown) => error)
    expect(error).to.be.instanceOf(Misconfigured)
    expect((error as Error).message).to.include('npm install ioredis')
    expect(await cache.read(aSession())).to.equal(undefined)
    cache.write(aSession(), aHistory())
    await cache.close()
  })

  it('refuses a URL that is none of Redis, without repeating it', () => {
    for (const url of ['http://user:secret@host', 'localhost:6379', '', 'redis://'])
      expect(() => cacheOf(url))
        .to.throw(Misconfigured, 'redis://')
        .with.property('message')
        .that.does.not.include('secret')
  })

  it("refuses another library's client", () => {
    class NodeRedis {
      get(): void {}
      set(): void {}
      del(): void {}
    }
    expect(() => cacheOf(new NodeRedis() as unknown as RedisClient)).to.throw(Misconfigured, 'ioredis')
  })
})

/** Takes connections and never says a word. */
async function startSilentServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => void sockets.push(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        sockets.forEach((socket) => socket.destroy())
      }),
  }
}
