import { Misconfigured } from '../model/errors.js'

/** The part of an ioredis client or Cluster, version 5 or 6, that the cache uses. */
export interface RedisClient {
  getBuffer(key: string): Promise<Buffer | null>
  set(key: string, value: Buffer | string, unit: 'PX', ms: number): Promise<unknown>
  set(key: string, value: Buffer | string, unit: 'PX', ms: number, when: 'NX'): Promise<unknown>
  del(key: string): Promise<unknown>
}

/** Options of ioredis for a connection that the cache opens; `nodes`, where to start from, makes it a Cluster. */
export interface RedisOptions {
  readonly nodes?: readonly (string | number | { readonly host?: string; readonly port?: number })[]
  readonly [option: string]: unknown
}

/** `redis://`, `rediss://` or the path of a socket; options of ioredis; or a client or Cluster of ioredis, which stays the host's. */
export type RedisConnection = string | RedisOptions | RedisClient

interface OwnClient extends RedisClient {
  readonly status: string
  on(event: 'error' | 'ready', listener: () => void): unknown
  quit(): Promise<unknown>
  disconnect(): void
}

/** The two doors of ioredis. */
export interface RedisModule {
  readonly Redis: new (...options: never[]) => object
  readonly Cluster: new (...options: never[]) => object
}

type Open = (redis: RedisModule) => object

const quitMs = 500

/** A client of ioredis: the host's, left as it is, or our own, opened when first asked for and ended by `close`. */
export class Connection {
  #host: RedisClient | undefined
  #own: OwnClient | undefined
  #known = false
  #open: Open | undefined
  #load: () => Promise<RedisModule>
  #opening: Promise<void> | undefined
  #closed = false

  constructor(connection: RedisConnection, load: () => Promise<RedisModule> = () => import('ioredis')) {
    this.#load = load
    if (isClient(connection)) this.#host = connection
    else this.#open = opener(connection)
  }

  /**
   * The client; nothing before ioredis is loaded, which this begins, and after `close`. Nothing either until it is known
   * whether our own connects: a slow first handshake is no fault of Redis.
   */
  client(): RedisClient | undefined {
    if (this.#closed) return undefined
    if (this.#host) return this.#host
    if (!this.#own) this.ready().catch(() => {})
    return this.#known ? this.#own : undefined
  }

  /** Loads ioredis and begins to connect, once; does not wait for Redis. Rejects with `Misconfigured` where ioredis is missing. */
  ready(): Promise<void> {
    const open = this.#open
    if (!open || this.#closed) return Promise.resolve()
    return (this.#opening ??= this.#connect(open))
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#opening?.catch(() => {})
    if (!this.#own) return
    if (this.#own.status === 'ready') await atMost(quitMs, this.#own.quit())
    this.#own.disconnect()
  }

  async #connect(open: Open): Promise<void> {
    const client = open(await loaded(this.#load)) as OwnClient
    const known = (): void => void (this.#known = true)
    client.on('ready', known)
    // Without a listener ioredis prints each failed attempt; the breaker tells of them once.
    client.on('error', known)
    this.#own = client
  }
}

async function loaded(load: () => Promise<RedisModule>): Promise<RedisModule> {
  try {
    return await load()
  } catch (cause) {
    throw new Misconfigured('The redis option needs the package ioredis. Run: npm install ioredis', { cause })
  }
}

function opener(connection: string | RedisOptions): Open {
  if (typeof connection === 'string') return urlOpener(connection)
  if (Object.getPrototypeOf(connection) !== Object.prototype)
    throw new Misconfigured(
      'redis must be a URL, options of ioredis, or a client or Cluster of ioredis; this client is none of them. Pass its URL instead.',
    )
  const { nodes, ...options } = connection
  if (nodes) return ({ Cluster }) => new Cluster(nodes as never, clusterOptions(options) as never)
  return ({ Redis }) => new Redis({ ...redisOptions(), ...options } as never)
}

function urlOpener(url: string): Open {
  if (!/^(rediss?:\/\/|\/)./.test(url))
    throw new Misconfigured(
      'redis must be a URL that begins with redis:// or rediss://, such as redis://localhost:6379.',
    )
  return ({ Redis }) => new Redis(url as never, redisOptions() as never)
}

/** What a cache needs otherwise than ioredis does it: its defaults let a call hang 10 s (version 5) or 73 s (version 6) when Redis is down. */
const redisOptions = (): object => ({
  connectionName: 'turnlog',
  connectTimeout: 2000,
  disconnectTimeout: 500,
  // A connection that is silent though it owes a reply is replaced: TCP alone takes a quarter of an hour to notice.
  socketTimeout: 2000,
  maxRetriesPerRequest: 0,
  retryStrategy: backoff,
  // After a failover behind one name we may still talk to the old master.
  reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
})

/**
 * The host's options win, autopipelining apart: on a Cluster it lets redirections reach the caller and holds commands
 * in a failover. A node that is lost must not be reconnected (`clusterNodeRetryStrategy`): commands would wait for it
 * in its queue while a replica has long taken over; unasked, the next one goes to another node and is redirected.
 */
function clusterOptions({ redisOptions: node, ...options }: RedisOptions): object {
  const { connectionName, connectTimeout, disconnectTimeout, socketTimeout } = redisOptions() as RedisOptions
  return {
    clusterRetryStrategy: backoff,
    ...options,
    enableAutoPipelining: false,
    redisOptions: { connectionName, connectTimeout, disconnectTimeout, socketTimeout, ...(node as object) },
  }
}

/** 100 ms to 1 s, so that a Redis that returned is found within a second; jitter parts the processes. */
const backoff = (times: number): number =>
  Math.min(1000, 100 * 2 ** Math.min(times, 10)) * (0.5 + Math.random() / 2)

function isClient(connection: RedisConnection): connection is RedisClient {
  if (typeof connection === 'string') return false
  return (['getBuffer', 'set', 'del'] as const).every((command) => typeof connection[command] === 'function')
}

async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work.catch(() => {}), late])
  clearTimeout(timer)
}
