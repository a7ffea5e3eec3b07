import { expect } from 'chai'
import knex, { type Knex } from 'knex'

import { EmbeddedStore } from '../../lib/store/embedded.js'
import { PostgresStore } from '../../lib/store/postgres.js'
import { migrate } from '../../migrations/index.js'
import { freshDatabase } from '../services/postgres.js'
import { migrateAt } from './migrated.js'
import { storeContract } from './contract.js'
import { statementsOf, tablesOfManyUsers } from './one-user.js'

const tables = /user\.x_(?:sessions|turns|messages)\b/

interface Watched {
  readonly knex: Knex
  readonly statements: string[]
}

/** A host's Knex, every statement on whose connections is written down. */
function watched(url: string): Watched {
  const host = knex({ client: 'pg', connection: url, pool: { min: 0, max: 10 } })
  const statements: string[] = []
  const client = host.client as {
    acquireRawConnection: () => Promise<{ query: (...args: unknown[]) => unknown }>
  }
  const acquire = client.acquireRawConnection.bind(client)
  client.acquireRawConnection = async () => {
    const connection = await acquire()
    const query = connection.query.bind(connection)
    connection.query = (...args) => {
      const [first] = args
      statements.push(typeof first === 'string' ? first : (first as { text: string }).text)
      return query(...args)
    }
    return connection
  }
  return { knex: host, statements }
}

/** Every session's counters beside what its listed messages come to. */
const scanned = `select s.id, (s.message_count, s.token_count, s.byte_count) is distinct from (m.messages, m.tokens, m.bytes) as differs
  from "user".x_sessions s cross join lateral (
    select count(*) as messages, coalesce(sum(m.tokens), 0) as tokens,
      coalesce(sum(octet_length(m.content) + coalesce(octet_length(m.message), 0)), 0) as bytes
    from "user".x_messages m join "user".x_turns t using (user_id, session_id, turn)
    where m.user_id = s.user_id and m.session_id = s.id and m.exchange > s.cleared_at_turn and t.status <> 'superseded'
  ) m`

storeContract({
  name: 'embedded',
  start: async () => new EmbeddedStore(),
})

describe('postgres', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>
  let host: Watched
  before(async () => {
    database = await freshDatabase()
    host = watched(database.url)
    await migrate(host.knex, { prefix: 'x_', schema: 'user' })
    host.statements.length = 0
  })
  after(async () => {
    await host?.knex.destroy()
    await database?.drop()
  })

  storeContract({
    name: 'postgres, a host’s Knex, a schema and a prefix',
    start: async () => new PostgresStore({ database: host.knex, prefix: 'x_', schema: 'user' }),
  })

  storeContract({
    name: 'postgres, by URL, single calls',
    start: async () => {
      await migrateAt(database.url)
      return new PostgresStore({ database: database.url, single: true })
    },
  })

  describe('counters', () => {
    it('say, in every session of these suites, what a scan finds', async () => {
      const { rows } = await host.knex.raw<{ rows: { id: string; differs: boolean }[] }>(scanned)
      expect(rows.length).to.be.greaterThan(50)
      expect(rows.filter(({ differs }) => differs)).to.deep.equal([])
    })
  })

  describe('statements', () => {
    it('names the user in every statement on people’s data, and leaves the host’s connections open', async () => {
      const seen = [...new Set(host.statements)]
      expect(seen.length).to.be.greaterThan(20)
      const own = /^(begin|commit|rollback|select to_regprocedure|select version\(\))/i
      const call =
        /u\.call->>'user', u\.call->>'session'|_v1"\(\$1, \$2, \$3::jsonb, \$4\)$|p_user => \$1, p_session => \$2/
      const lease = /"user"\."x_leases"/
      const strangers = seen.filter(
        (text) =>
          !own.test(text) &&
          !call.test(text) &&
          !lease.test(text) &&
          !/"?user_id"? (=|as|in)|\("?user_id"?/.test(text),
      )
      expect(strangers).to.deep.equal([])
      // A sweep looks at all users; what it then closes or purges it does user by user.
      const sweep = /select s\.user_id as "userId"|^\s*with page as/
      for (const text of seen.filter((each) => !sweep.test(each)))
        expect(tablesOfManyUsers(text, tables), text).to.deep.equal([])
      expect((await host.knex.raw('select 1 as one')).rows).to.deep.equal([{ one: 1 }])
    })

    it('narrows every table in every stored function to the user of its first argument', async () => {
      const { rows } = await host.knex.raw<{ rows: { name: string; first: string; body: string }[] }>(
        `select proname as name, proargnames[1] as first, prosrc as body from pg_proc
        where pronamespace = '"user"'::regnamespace`,
      )
      expect(rows.map(({ name }) => name)).to.include.members(['x_begin_v1', 'x_complete_v1', 'x_history_v1'])
      for (const { name, first, body } of rows) {
        expect(first, name).to.equal('p_user')
        const touching = statementsOf(body).filter((text) => tables.test(text.replaceAll('"', '')))
        expect(touching, name).to.have.length.greaterThan(0)
        for (const text of touching)
          expect(tablesOfManyUsers(text, tables), `${name}: ${text}`).to.deep.equal([])
        for (const [, argument] of body.matchAll(/_v1"?\((\w+)/g)) expect(argument, name).to.equal('p_user')
      }
    })

    it('finds a table that is read for many users', () => {
      const many = (text: string): string[] => tablesOfManyUsers(text, tables)
      expect(many('select 1 from user.x_turns where session_id = $1')).to.have.length(1)
      expect(
        many('select 1 from "user"."x_turns" t where t.session_id = $1 and user_id = $2'),
      ).to.have.length(1)
      expect(
        many('delete from user.x_turns where user_id = $1 and exists (select 1 from user.x_sessions)'),
      ).to.have.length(1)
      expect(many('insert into user.x_turns (session_id) values ($1)')).to.have.length(1)
      expect(many('update user.x_turns set user_id = $1 where turn = 1')).to.have.length(1)
    })
  })
})
