import { expect } from 'chai'
import knex, { type Knex } from 'knex'

import { beginArgument } from '../../lib/store/rows.js'
import { migrate } from '../../migrations/index.js'
import { freshDatabase } from '../services/postgres.js'
import { aBegin } from './asking.js'

const turns = 5_000

interface Reads {
  readonly fetched: number
  readonly scans: number
}

const counted = `
  select sum(coalesce(idx_tup_fetch, 0))::int as fetched, sum(seq_scan)::int as scans
  from pg_stat_xact_user_tables where relname in ('chat_sessions', 'chat_turns', 'chat_messages')`

describe('store: plans', function () {
  this.timeout(60_000)
  let database: Awaited<ReturnType<typeof freshDatabase>>
  let admin: Knex
  before(async () => {
    database = await freshDatabase()
    admin = knex({ client: 'pg', connection: database.url, pool: { min: 1, max: 1 } })
    await migrate(admin)
  })
  after(async () => {
    await admin?.destroy()
    await database?.drop()
  })

  /** What a statement reads, by the server's own counters: rows by index, and scans of whole tables. */
  async function reads(sessionId: string, analysed: boolean): Promise<Reads> {
    if (analysed) await admin.raw('analyze')
    const call = beginArgument(aBegin({ userId: 'u', sessionId }))
    const transaction = await admin.transaction()
    const counters = async (): Promise<Reads> => (await transaction.raw(counted)).rows[0]
    const before = await counters()
    const { rows } = await transaction.raw(
      'select r_status, r_history from chat_begin_v1(?, ?, ?::jsonb, true)',
      ['u', sessionId, call],
    )
    const after = await counters()
    await transaction.rollback()
    expect(rows[0].r_status).to.equal('begun')
    expect(JSON.parse(rows[0].r_history).rows).to.have.length(21)
    return { fetched: after.fetched - before.fetched, scans: after.scans - before.scans }
  }

  async function longSession(sessionId: string): Promise<void> {
    await admin.raw(
      `insert into chat_sessions (user_id, id, revision, turn_count, message_count) values ('u', ?, gen_random_uuid(), ?, ?)`,
      [sessionId, turns, turns * 2],
    )
    await admin.raw(
      `insert into chat_turns (user_id, session_id, turn, exchange, key, nonce, status, parts)
       select 'u', ?, n, n, 'n:' || n, gen_random_uuid(), 'done', 1 from generate_series(1, ?::int) n`,
      [sessionId, turns],
    )
    await admin.raw(
      `insert into chat_messages (user_id, session_id, exchange, turn, part, role, content)
       select 'u', ?, n, n, p, 'user', 'text' from generate_series(1, ?::int) n, generate_series(0, 1) p`,
      [sessionId, turns],
    )
  }

  it('reads the newest rows alone of 10,000 messages, by keys, with old statistics and with new', async () => {
    // The functions' plans are made on this connection while the tables are empty, and stay.
    await admin.raw(
      `insert into chat_sessions (user_id, id, revision) values ('u', 'first', gen_random_uuid())`,
    )
    for (let n = 0; n < 8; n++) {
      await admin.raw('select chat_begin_v1(?, ?, ?::jsonb, true)', [
        'u',
        'first',
        beginArgument(aBegin({ userId: 'u', sessionId: 'first' })),
      ])
    }
    await longSession('long')
    await longSession('other')
    for (const analysed of [false, true]) {
      const { fetched, scans } = await reads('long', analysed)
      expect(scans, 'scans of whole tables').to.equal(0)
      expect(fetched, 'rows').to.be.lessThan(60)
    }
  })
})
