import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'

import { Client } from 'pg'

import { startPostgres } from '../test/services/postgres.js'
import { startRedis } from '../test/services/redis.js'

/** A Postgres and a Redis of the run's own, gone with it. */
export interface Stage {
  readonly postgresUrl: string
  readonly redisUrl: string
  /** Processor time that Postgres took so far, in microseconds; 0 where there is no /proc. */
  postgresCpu(): number
  /** A new, empty database. */
  database(): Promise<string>
  end(): Promise<void>
}

/** Durable, and with room for what is loaded; all else is Postgres' default. */
const settings = {
  fsync: 'on',
  full_page_writes: 'on',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
}

export async function openStage(): Promise<Stage> {
  const [postgres, redis] = await Promise.all([startPostgres({ settings }), startRedis()])
  return {
    postgresUrl: postgres.url,
    redisUrl: redis.url,
    postgresCpu: () => cpuOf(postgres.pid),
    database: async () => {
      const name = `bench_${randomBytes(6).toString('hex')}`
      await withClient(postgres.url, (client) => client.query(`create database ${name}`))
      const url = new URL(postgres.url)
      url.pathname = `/${name}`
      return url.href
    },
    end: async () => void (await Promise.all([postgres.stop(), redis.stop()])),
  }
}

const microsecondsInTick = 10_000

/** Processor time of a process, its living children and those that it buried, in microseconds. */
export function cpuOf(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
    const [user, system, buriedUser, buriedSystem] = ticksOf(String(pid))
    const living = children.map((child) => {
      const [childUser, childSystem] = ticksOf(child)
      return childUser + childSystem
    })
    const all = living.reduce((sum, ticks) => sum + ticks, user + system + buriedUser + buriedSystem)
    return all * microsecondsInTick
  } catch {
    return 0
  }
}

/** utime, stime, cutime, cstime: the fields 14 to 17, counted behind the program's name, which may hold blanks. */
function ticksOf(pid: string): [number, number, number, number] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return [fields[11], fields[12], fields[13], fields[14]].map(Number) as [number, number, number, number]
}

export async function withClient<Outcome>(
  url: string,
  use: (client: Client) => Promise<Outcome>,
): Promise<Outcome> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly loadAverage: number
  readonly node: string
  readonly postgres: string
}

/** What it was measured on; the load is that of the minute before. */
export async function machineOf(stage: Stage): Promise<Machine> {
  const { rows } = await withClient(stage.postgresUrl, (client) =>
    client.query<{ server_version: string }>('show server_version'),
  )
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadAverage: Math.round(loadavg()[0]! * 10) / 10,
    node: process.version,
    postgres: rows[0]!.server_version,
  }
}
