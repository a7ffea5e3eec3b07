import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Client } from 'pg'
import { type OsUser, postgresFolder, serviceUser } from './binaries.js'
import { freePort, type Service, startDaemon } from './daemon.js'
import { Scratch } from './scratch.js'

/** Enough for tests: a crash of the process loses nothing, a power cut may. */
const fastSettings = {
  fsync: 'off',
  full_page_writes: 'off',
  shared_buffers: '64MB',
  max_connections: '200',
}

/** An own Postgres with a new, empty cluster; `settings` go over the fast ones (`{ fsync: 'on' }`). */
export async function startPostgres({
  settings = {},
}: { settings?: Readonly<Record<string, string>> } = {}): Promise<Service> {
  const user = serviceUser()
  const scratch = new Scratch('postgres', user)
  const port = await freePort()
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const network = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '' }
  const all = Object.entries({ ...network, ...fastSettings, ...settings })
  const { program, data } = newCluster(scratch, user)
  return startDaemon({
    program,
    args: ['-D', data, ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    user,
    scratch,
    port,
    url,
    end: 'SIGINT',
    die: 'SIGQUIT',
    ask: () => query(url, 'SELECT 1'),
  })
}

/** initdb; what fails here leaves no folder behind. */
function newCluster(scratch: Scratch, user: OsUser | undefined): { program: string; data: string } {
  try {
    const programs = postgresFolder(scratch.path, user)
    const data = join(scratch.path, 'data')
    const options = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']
    const stdio = ['ignore', 'ignore', 'pipe'] as const
    execFileSync(join(programs, 'initdb'), ['-D', data, ...options], {
      cwd: scratch.path,
      stdio: [...stdio],
      ...user,
    })
    return { program: join(programs, 'postgres'), data }
  } catch (error) {
    scratch.remove()
    throw error
  }
}

/** A new, empty database on the run's shared Postgres. */
export async function freshDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const shared = process.env.TEST_DATABASE_URL
  if (!shared) throw new Error('TEST_DATABASE_URL is not set: run the tests through mocha.')
  const name = `test_${randomBytes(8).toString('hex')}`
  await query(shared, `CREATE DATABASE ${name}`)
  const url = new URL(shared)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => query(shared, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
}

async function query(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query(sql)
  } finally {
    await client.end()
  }
}
