import { expect } from 'chai'
import { Client } from 'pg'

import { pooledConnections } from './pgbouncer.js'

const clientsAtOnce = 4 * pooledConnections

/** A connection to the run's Postgres, or to another database of that address. */
async function connected(database = 'postgres'): Promise<Client> {
  const url = new URL(process.env.TEST_DATABASE_URL!)
  url.pathname = `/${database}`
  const client = new Client({ connectionString: url.href })
  await client.connect()
  return client
}

describe('pgbouncer', () => {
  it('pools by transaction what the suites of this run send', async () => {
    const admin = await connected('pgbouncer')
    const { rows } = await admin.query<{ key: string; value: string }>('show config')
    await admin.end()
    expect(rows.find(({ key }) => key === 'pool_mode')!.value).to.equal('transaction')
  })

  it('lets many clients share few connections', async () => {
    const clients = await Promise.all(Array.from({ length: clientsAtOnce }, () => connected()))
    const pids = await Promise.all(
      clients.map(async (client) => {
        const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid, pg_sleep(0.01)')
        return rows[0]!.pid
      }),
    )
    await Promise.all(clients.map((client) => client.end()))
    expect(new Set(pids).size).to.be.at.most(pooledConnections)
  })
})
