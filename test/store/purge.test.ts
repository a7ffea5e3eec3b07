import { expect } from 'chai'
import knex from 'knex'

import { PostgresStore } from '../../lib/store/postgres.js'
import { freshMigratedDatabase } from '../services/core.js'
import { aBegin, aSession, ask, listed } from './asking.js'

describe('store: a purge of a large session', () => {
  it('goes in batches, can be taken up again, and nothing finds what is left meanwhile', async () => {
    const database = await freshMigratedDatabase()
    const store = new PostgresStore({ database: database.url, purgeRows: 4 })
    const sql = knex({ client: 'pg', connection: database.url })
    try {
      const [gone, live] = [await aSession(store), await aSession(store)]
      for (let turn = 0; turn < 5; turn++) await ask(store, gone)
      await ask(store, live)
      await store.deleteSession(gone)
      const rows = async (table: string): Promise<number> =>
        (await sql(table).where({ user_id: gone.userId })).length

      expect(await store.purgeSession(gone, 0)).to.equal('more')
      expect(await rows('chat_messages')).to.equal(6)
      expect(await store.restoreSession(gone)).to.equal(undefined)
      expect(await store.beginTurn(aBegin(gone))).to.deep.equal({ status: 'no_session' })
      expect((await store.listPurgeable({ retentionSeconds: 0, limit: 10 })).sessions).to.deep.equal([gone])

      const steps: string[] = []
      while (steps.at(-1) !== 'purged') steps.push(await store.purgeSession(gone, 0))
      expect(steps).to.deep.equal(['more', 'more', 'purged'])
      for (const table of ['chat_messages', 'chat_turns']) expect(await rows(table)).to.equal(0)
      expect(await store.purgeSession(gone, 0)).to.equal('kept')
      expect(await listed(store, live)).to.have.length(2)
    } finally {
      await sql.destroy()
      await store.close()
      await database.drop()
    }
  })
})
