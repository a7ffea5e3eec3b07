import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect } from 'chai'
import { Client } from 'pg'

import { PostgresStore } from '../../lib/store/postgres.js'
import { freshMigratedDatabase } from '../services/core.js'
import { storeContract } from './contract.js'

const page = readFileSync(join(import.meta.dirname, '../../docs/scaling.md'), 'utf8')
const partitioning = /^do \$\$.*?^end \$\$;$/ms.exec(page)![0]

/** The tables as docs/scaling.md makes them anew. */
describe('postgres, partitioned', () => {
  let database: Awaited<ReturnType<typeof freshMigratedDatabase>>
  let client: Client
  before(async () => {
    database = await freshMigratedDatabase()
    client = new Client({ connectionString: database.url })
    await client.connect()
    await client.query(partitioning)
  })
  after(async () => {
    await client.end()
    await database.drop()
  })

  storeContract({
    name: 'postgres, hash partitions',
    start: async () => new PostgresStore({ database: database.url }),
  })

  describe('afterwards', () => {
    it('finds the users spread over the partitions', async () => {
      const { rows } = await client.query<{ used: number }>(
        'select count(distinct tableoid)::int as used from chat_sessions',
      )
      expect(rows[0]!.used).to.be.greaterThan(4)
    })
  })
})
