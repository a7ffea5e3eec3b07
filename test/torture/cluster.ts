import { setTimeout as sleep } from 'node:timers/promises'

import { Redis } from 'ioredis'

import type { Service } from '../services/daemon.js'
import { queryOne, startPostgres, startReplica } from '../services/postgres.js'
import { startProxy, type Proxy } from '../services/proxy.js'
import { startRedis } from '../services/redis.js'
import { migrateAt } from '../store/migrated.js'
import { startHost } from './host.js'
import { endWorker, type Worker } from './process.js'
import { startProvider } from './provider.js'
import { now, type SessionState } from './record.js'
import { readStates } from './state.js'

/** Nothing but a power cut takes a commit away; and the log is kept for a replica that is cut off while the primary restarts, else it would never follow again. */
const settings = { fsync: 'on', full_page_writes: 'on', max_connections: '200', wal_keep_size: '2GB' }

/** A server process, its way to the database, and whether it is there. */
interface Seat {
  readonly proxy: Proxy
  host: Worker | undefined
}

export interface ClusterOptions {
  readonly servers: number
  readonly replica?: boolean
  /** The servers kill themselves where a request asks for it. */
  readonly crashes?: boolean
  readonly maxMemoryBytes?: number
  /** Options of Node for the servers. */
  readonly execArgv?: readonly string[]
}

/** Server processes, each behind a network of its own, on one Postgres with a replica and one Redis, before one provider. */
export class Cluster {
  /** When the replica took over, and what it and the old primary held then. */
  failover: { cutAt: number; switchedAt: number; promoted: Map<string, SessionState> } | undefined

  private constructor(
    readonly primary: Service,
    readonly redis: Service,
    readonly provider: Worker,
    readonly seats: readonly Seat[],
    private readonly standby: { readonly replica: Service; readonly proxy: Proxy } | undefined,
    private readonly options: ClusterOptions,
  ) {}

  static async start(options: ClusterOptions): Promise<Cluster> {
    const { servers, replica = false } = options
    const [primary, redis, provider] = await Promise.all([
      startPostgres({ settings }),
      startRedis(),
      startProvider({ delayMs: 15 }),
    ])
    await migrateAt(primary.url)
    const standby = replica ? await startStandby(primary) : undefined
    const proxies = await Promise.all(Array.from({ length: servers }, () => startProxy(primary.url)))
    const seats = proxies.map((proxy): Seat => ({ proxy, host: undefined }))
    const cluster = new Cluster(primary, redis, provider, seats, standby, options)
    await Promise.all(seats.map((_, index) => cluster.startServer(index)))
    return cluster
  }

  /** The address of a server that runs, any of them. */
  anyUrl(): string {
    const running = this.seats.flatMap(({ host }) => host?.url ?? [])
    return running[Math.floor(Math.random() * running.length)] ?? 'http://127.0.0.1:9'
  }

  urlOf(index: number): string {
    return this.seats[index]?.host?.url ?? 'http://127.0.0.1:9'
  }

  async startServer(index: number): Promise<Worker> {
    const seat = this.seats[index]!
    const { crashes = false, maxMemoryBytes, execArgv } = this.options
    seat.host = await startHost(
      {
        database: seat.proxy.url,
        redis: this.redis.url,
        provider: this.provider.url,
        crashes,
        ...(maxMemoryBytes !== undefined && { maxMemoryBytes }),
      },
      execArgv,
    )
    return seat.host
  }

  async killServer(index: number): Promise<void> {
    const seat = this.seats[index]!
    const { host } = seat
    seat.host = undefined
    if (host) await endWorker(host)
  }

  async freezeServer(index: number, ms: number): Promise<void> {
    const pid = this.seats[index]!.host?.process.pid
    if (pid !== undefined) await freeze(pid, ms)
  }

  async flushRedis(): Promise<void> {
    const client = new Redis(this.redis.url)
    await client.flushall()
    client.disconnect()
  }

  /** The replica, which lags behind, takes the place of the primary. */
  async failOver(): Promise<void> {
    if (!this.standby) throw new Error('This cluster has no replica.')
    const { replica, proxy } = this.standby
    await expectToFollow(this.primary, replica)
    proxy.swallow(true)
    await sleep(500)
    const cutAt = now()
    await die(this.primary)
    for (const { proxy } of this.seats) proxy.refuse(true)
    await queryOne(replica.url, 'select pg_promote()')
    const promoted = await readStates(replica.url)
    const switchedAt = now()
    for (const { proxy } of this.seats) {
      proxy.lead(replica.url)
      proxy.refuse(false)
    }
    this.failover = { cutAt, switchedAt, promoted }
  }

  /** All sessions as the serving database holds them, and as the one held them that failed. */
  async readStates(): Promise<{ states: Map<string, SessionState>; old?: Map<string, SessionState> }> {
    if (!this.failover || !this.standby) return { states: await readStates(this.primary.url) }
    await comeBack(this.primary)
    return { states: await readStates(this.standby.replica.url), old: await readStates(this.primary.url) }
  }

  /** The servers end as they do when they are told to; rejects when one does not. */
  async closeServers(): Promise<void> {
    await Promise.all(this.seats.flatMap(({ host }) => (host ? [closeHost(host)] : [])))
    for (const seat of this.seats) seat.host = undefined
  }

  async stop(): Promise<void> {
    await Promise.all(this.seats.map((_, index) => this.killServer(index)))
    await endWorker(this.provider)
    await Promise.all(this.seats.map(({ proxy }) => proxy.stop()))
    await this.standby?.replica.stop()
    await this.standby?.proxy.stop()
    await Promise.all([this.primary.stop(), this.redis.stop()])
  }
}

async function startStandby(primary: Service): Promise<{ replica: Service; proxy: Proxy }> {
  const proxy = await startProxy(primary.url)
  try {
    return { proxy, replica: await startReplica(primary, { via: proxy.url, settings }) }
  } catch (error) {
    await proxy.stop()
    throw error
  }
}

/** A server that leaves a timer or a socket behind does not end by itself. */
export async function closeHost({ process: child }: Worker): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  child.send('close')
  const code = await ended
  if (code !== 0) throw new Error(`A server that was closed ended with ${code}: something kept it alive.`)
}

async function freeze(pid: number, ms: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  await sleep(ms)
  process.kill(pid, 'SIGCONT')
}

export const freezeService = (service: Service, ms: number): Promise<void> => freeze(service.pid, ms)

/** kill -9, and nothing else. */
async function die(service: Service): Promise<void> {
  process.kill(service.pid, 'SIGKILL')
  await sleep(300)
}

export async function killService(service: Service): Promise<void> {
  await die(service)
  await comeBack(service)
}

/** The processes that a killed Postgres leaves behind keep a new one from starting until they have noticed. */
async function comeBack(service: Service): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await service.restart()
    } catch (error) {
      if (tries === 20) throw error
      await sleep(500)
    }
  }
}

/** Of a replica that stopped long ago nothing would be learned: the turns since then could not be held against it. */
async function expectToFollow(primary: Service, replica: Service): Promise<void> {
  const place = await queryOne(primary.url, 'select pg_current_wal_lsn()')
  const hasReplayed = `select pg_last_wal_replay_lsn() >= '${place}'::pg_lsn`
  for (let tries = 0; tries < 100; tries++) {
    if ((await queryOne(replica.url, hasReplayed)) === 'true') return
    await sleep(100)
  }
  throw new Error('The replica has stopped following the primary.')
}
