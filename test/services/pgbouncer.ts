import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { pgBouncer, serviceUser } from './binaries.js'
import { freePort, type Service, startDaemon } from './daemon.js'
import { Scratch } from './scratch.js'

/** Few, so that callers must share: the connections to Postgres for each database. */
export const pooledConnections = 8

/** A PgBouncer in transaction mode before every database of a Postgres. */
export async function startPgBouncer(postgres: Service): Promise<Service> {
  const program = pgBouncer()
  const user = serviceUser()
  const scratch = new Scratch('pgbouncer', user)
  const port = await freePort()
  const settings = join(scratch.path, 'pgbouncer.ini')
  const users = join(scratch.path, 'users.txt')
  writeFileSync(users, '"postgres" ""\n')
  writeFileSync(
    settings,
    `[databases]
* = host=127.0.0.1 port=${postgres.port}
[pgbouncer]
pool_mode = transaction
default_pool_size = ${pooledConnections}
max_client_conn = 1000
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
admin_users = postgres
`,
  )
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  return startDaemon({
    program,
    args: [settings],
    user,
    scratch,
    port,
    url,
    end: 'SIGTERM',
    die: 'SIGKILL',
    ask: () => answers(url),
  })
}

async function answers(url: string): Promise<void> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT 1')
  } finally {
    await client.end()
  }
}
