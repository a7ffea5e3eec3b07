import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { type OsUser, postgresFolder, serviceUser } from './binaries.js'
import { freePort, type Recipe, type Service, startDaemon } from './daemon.js'
import { Scratch } from './scratch.js'

type Settings = Readonly<Record<string, string>>

/** Enough for tests: a crash of the process loses nothing, a power cut may. */
const fastSettings = {
  fsync: 'off',
  full_page_writes: 'off',
  shared_buffers: '64MB',
  max_connections: '200',
}

/** An own Postgres with a new, empty cluster; `settings` go over the fast ones (`{ fsync: 'on' }`). */
export async function startPostgres({ settings = {} }: { settings?: Settings } = {}): Promise<Service> {
  const user = serviceUser()
  const scratch = new Scratch('postgres', user)
  const port = await freePort()
  return startDaemon(recipe({ ...newCluster(scratch, user), user, scratch, port, settings }))
}

/**
 * A hot standby that follows the primary asynchronously, through the address `via` when one is given;
 * `SELECT pg_promote()` makes it a Postgres of its own. The primary goes down for a moment: its directory is copied
 * as a crash leaves it, since not every installation has pg_basebackup.
 */
export async function startReplica(
  primary: Service,
  { via = primary.url, settings = {} }: { via?: string; settings?: Settings } = {},
): Promise<Service> {
  const user = serviceUser()
  const scratch = new Scratch('replica', user)
  const port = await freePort()
  const { port: upstream } = new URL(via)
  const follow = { primary_conninfo: `host=127.0.0.1 port=${upstream} user=postgres` }
  const directory = await queryOne(primary.url, 'SHOW data_directory')
  const data = join(scratch.path, 'data')
  await primary.crash()
  cpSync(directory, data, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !path.endsWith('.pid'),
  })
  writeFileSync(join(data, 'standby.signal'), '')
  if (user) execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, data])
  chmodSync(data, 0o700)
  await primary.restart()
  const program = join(postgresFolder(scratch.path, user), 'postgres')
  return startDaemon(recipe({ program, data, user, scratch, port, settings: { ...follow, ...settings } }))
}

/** What starts a Postgres on a directory. */
function recipe({
  program,
  data,
  user,
  scratch,
  port,
  settings,
}: Pick<Recipe, 'program' | 'user' | 'scratch' | 'port'> & { data: string; settings: Settings }): Recipe {
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const network = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '' }
  const all = Object.entries({ ...network, ...fastSettings, ...settings })
  return {
    program,
    args: ['-D', data, ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    user,
    scratch,
    port,
    url,
    end: 'SIGINT',
    die: 'SIGQUIT',
    ask: async () => void (await queryOne(url, 'SELECT 1')),
  }
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
  await queryOne(shared, `CREATE DATABASE ${name}`)
  const url = new URL(shared)
  url.pathname = `/${name}`
  return {
    url: url.href,
    drop: async () => void (await queryOne(shared, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
  }
}

/** The first column of the first row, as text. */
export async function queryOne(url: string, sql: string): Promise<string> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query<string[]>({ text: sql, rowMode: 'array' })
    return String(rows[0]?.[0])
  } finally {
    await client.end()
  }
}
