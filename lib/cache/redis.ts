import type { History } from '../model/history.js'
import type { SessionKey } from '../model/session.js'
import type { Breaker, BreakerState } from './breaker.js'
import type { Cache, CacheHit } from './cache.js'
import { Connection, type RedisConnection, type RedisModule } from './connection.js'
import { decodeEntry, encodeEntry, sessionHash } from './entry.js'

export interface RedisCacheOptions {
  readonly connection: RedisConnection
  /** Stands before every key. Default `turnlog:`. */
  readonly keyPrefix?: string
  /** Seconds until an entry that nobody wrote again is forgotten, each a tenth more or less. Default 3600. */
  readonly windowTtlSeconds?: number
  /** A larger entry is not kept, in bytes. Default 256 KiB. */
  readonly maxEntryBytes?: number
  /** How long a request waits for Redis, in milliseconds. Default 50. */
  readonly deadlineMs?: number
  /** Commands that may wait for Redis at once. Default 1000. */
  readonly maxPending?: number
  /** Told when Redis becomes unavailable or available again: the place for a log line and a metric. */
  readonly onState?: (state: BreakerState) => void
  /** How ioredis is loaded. Default `import('ioredis')`. */
  readonly load?: () => Promise<RedisModule>
}

/** The hot windows in Redis or a Redis Cluster: one GET, one SET with a TTL, one DEL, each of one key, and no script. */
export class RedisCache implements Cache {
  #connection: Connection
  #breaker: Breaker | undefined
  /** Its library takes 40 ms of processor time to load: beside the host's start, and only where there is a Redis. */
  #loading: Promise<Breaker>
  #prefix: string
  #ttlMs: number
  #maxEntryBytes: number

  constructor(options: RedisCacheOptions) {
    const { windowTtlSeconds = 3600, deadlineMs = 50, maxPending = 1000, onState = () => {} } = options
    this.#connection = new Connection(options.connection, options.load)
    this.#prefix = options.keyPrefix ?? 'turnlog:'
    this.#ttlMs = windowTtlSeconds * 1000
    this.#maxEntryBytes = options.maxEntryBytes ?? 256 * 1024
    this.#loading = import('./breaker.js').then(
      ({ Breaker }) =>
        (this.#breaker = new Breaker({ deadlineMs, maxPending, probe: (key) => this.#probe(key), onState })),
    )
    this.#loading.catch(() => undefined)
  }

  async ready(): Promise<void> {
    await Promise.all([this.#connection.ready(), this.#loading])
  }

  async read(session: SessionKey): Promise<CacheHit | undefined> {
    const client = this.#connection.client()
    if (!client) return undefined
    const breaker = this.#breaker ?? (await this.#loading)
    const hash = sessionHash(session)
    const key = this.#key(hash)
    const entry = await breaker.run(key, () => client.getBuffer(key))
    const history = entry ? decodeEntry(entry, hash) : undefined
    return history && { history, layer: 'redis' }
  }

  write(session: SessionKey, history: History): void {
    const client = this.#connection.client()
    const breaker = this.#breaker
    // Before its breaker is there nothing is kept: an entry says what was in force when it was written.
    if (!client || !breaker) return
    const hash = sessionHash(session)
    const key = this.#key(hash)
    void breaker.run(key, () => {
      const entry = encodeEntry(history, hash)
      if (!entry || entry.length > this.#maxEntryBytes) return client.del(key)
      return client.set(key, entry, 'PX', this.#jitteredTtlMs())
    })
  }

  stale(): void {}

  drop(session: SessionKey): void {
    const client = this.#connection.client()
    if (!client) return
    if (!this.#breaker) return void this.#loading.then(() => this.drop(session)).catch(() => undefined)
    const key = this.#key(sessionHash(session))
    void this.#breaker.run(key, () => client.del(key))
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  #key(hash: Buffer): string {
    return this.#prefix + hash.toString('hex')
  }

  /** Entries that were written together do not leave together. */
  #jitteredTtlMs(): number {
    return Math.round(this.#ttlMs * (0.9 + Math.random() * 0.2))
  }

  /** A write, because a full or a demoted Redis still answers reads; of an entry that is none, and only where there is none. */
  async #probe(key: string): Promise<void> {
    await this.#connection.client()?.set(key, '', 'PX', 1000, 'NX')
  }
}
