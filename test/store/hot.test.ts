import { expect } from 'chai'
import knex from 'knex'

import { PostgresStore } from '../../lib/store/postgres.js'
import { freshMigratedDatabase } from '../services/core.js'
import { until } from '../cache/until.js'
import { aSession, ask } from './asking.js'

const turns = 50

describe('store: a session that is talked in', () => {
  it('moves its expiry and its place in the listing without an index update a turn', async () => {
    const database = await freshMigratedDatabase()
    const sql = knex({ client: 'pg', connection: database.url, pool: { min: 0, max: 1 } })
    const store = new PostgresStore({ database: database.url })
    const updates = async (): Promise<{ all: number; hot: number }> => {
      const { rows } = await sql.raw<{ rows: { all: number; hot: number }[] }>(
        `select n_tup_upd::int as all, n_tup_hot_upd::int as hot from pg_stat_user_tables where relname = 'chat_sessions'`,
      )
      return rows[0]!
    }
    try {
      const session = await aSession(store, { ttlSeconds: 3600 })
      const before = await store.findSession(session)
      for (let turn = 0; turn < turns; turn++) await ask(store, session)
      const after = await store.findSession(session)
      expect(after!.expiresAt!.getTime()).to.be.greaterThan(before!.expiresAt!.getTime())
      // A connection tells what it did when it ends.
      await store.close()
      await until(async () => (await updates()).all >= 2 * turns)
      const { all, hot } = await updates()
      // A page that is full between two prunings makes a few others.
      expect(hot).to.be.greaterThan(0.9 * all)
    } finally {
      await sql.destroy()
      await store.close()
      await database.drop()
    }
  })
})
