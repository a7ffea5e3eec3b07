import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect } from 'chai'
import knex, { type Knex } from 'knex'

import { Misconfigured } from '../../lib/model/errors.js'
import { PostgresStore } from '../../lib/store/postgres.js'
import { migrate, migrationSource, rollback, sql, status } from '../../migrations/index.js'
import { freshDatabase } from '../services/postgres.js'
import { aSession, ask, listed } from './asking.js'

const tables = '20261122090000_create_chat_tables'
const functions = '20261122090100_create_turn_functions'

/** Everything in the database that a migration could leave behind. */
const shape = `
  select 'column' as kind, table_schema as place, table_name || '.' || column_name as name,
    concat_ws(' ', data_type, is_nullable, column_default) as text
  from information_schema.columns where table_schema not in ('pg_catalog', 'information_schema')
  union all select 'index', schemaname, indexname, indexdef from pg_indexes where schemaname not in ('pg_catalog')
  union all select 'function', n.nspname, p.proname, p.prosrc from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not in ('pg_catalog', 'information_schema')
  order by 1, 2, 3`

describe('migrations', function () {
  this.timeout(60_000)
  let database: Awaited<ReturnType<typeof freshDatabase>>
  let host: Knex
  beforeEach(async () => {
    database = await freshDatabase()
    host = knex({ client: 'pg', connection: database.url, log: silent })
  })
  afterEach(async () => {
    await host.destroy()
    await database.drop()
  })

  const shapeNow = async (): Promise<{ kind: string; name: string }[]> => (await host.raw(shape)).rows
  const ours = (rows: { name: string }[]): { name: string }[] =>
    rows.filter(({ name }) => !name.startsWith('chat_migrations'))

  it('go up, down without a rest, and up to the same again', async () => {
    expect(await migrate(host)).to.deep.equal([tables, functions])
    const before = await shapeNow()
    expect(ours(before).length).to.be.greaterThan(40)
    expect(await migrate(host)).to.deep.equal([])
    expect(await rollback(host)).to.deep.equal([functions, tables])
    expect(ours(await shapeNow())).to.deep.equal([])
    await migrate(host)
    expect(await shapeNow()).to.deep.equal(before)
  })

  it('make the functions that docs/scaling.md distributes, each with its signature there', async () => {
    await migrate(host)
    const page = readFileSync(join(import.meta.dirname, '../../docs/scaling.md'), 'utf8')
    const documented = [...page.matchAll(/create_distributed_function\('([^']+)'/g)].map(
      ([, signature]) => signature!,
    )
    const { rows } = await host.raw<{ rows: { signature: string }[] }>(
      `select oid::regprocedure::text as signature from pg_proc where pronamespace = 'public'::regnamespace`,
    )
    expect(documented.toSorted()).to.deep.equal(rows.map(({ signature }) => signature).toSorted())
  })

  it('go to a name, up and down', async () => {
    expect(await migrate(host, { to: tables })).to.deep.equal([tables])
    expect(await status(host)).to.deep.equal({ applied: [tables], pending: [functions] })
    expect(await migrate(host, { to: functions })).to.deep.equal([functions])
    expect(await migrate(host, { to: tables })).to.deep.equal([functions])
    expect(await status(host)).to.deep.equal({ applied: [tables], pending: [functions] })
    expect(await fault(migrate(host, { to: 'nowhere' }))).to.match(/There is no migration nowhere/)
  })

  it('say what is pending and write nothing while they do', async () => {
    expect(await status(host)).to.deep.equal({ applied: [], pending: [tables, functions] })
    expect(await shapeNow()).to.deep.equal([])
  })

  it('stand twice in one database, under two prefixes and a schema', async () => {
    await migrate(host, { prefix: 'a_' })
    await migrate(host, { prefix: 'b_', schema: 'user' })
    const stores = [
      new PostgresStore({ database: host, prefix: 'a_' }),
      new PostgresStore({ database: host, prefix: 'b_', schema: 'user' }),
    ]
    for (const store of stores) {
      await store.ready()
      const session = await aSession(store)
      await ask(store, session)
      expect(await listed(store, session)).to.have.length(2)
    }
    expect((await host.raw('show search_path')).rows[0].search_path).to.equal('"$user", public')
    await rollback(host, { prefix: 'a_' })
    expect((await status(host, { prefix: 'b_', schema: 'user' })).pending).to.deep.equal([])
  })

  it('do not touch somebody else’s chat_sessions', async () => {
    await host.raw('create table chat_sessions (mine integer)')
    const error = await fault(migrate(host))
    expect(error).to.be.instanceOf(Misconfigured)
    expect(String(error)).to.match(/chat_sessions.*exists already.*Choose another prefix/)
    expect(ours(await shapeNow()).map(({ name }) => name)).to.deep.equal(['chat_sessions.mine'])
  })

  it('run once when four migrators come at once, and leave one lock', async () => {
    const hosts = Array.from({ length: 4 }, () =>
      knex({ client: 'pg', connection: database.url, log: silent }),
    )
    try {
      for (const prefix of ['a_', 'b_', 'c_', 'd_']) {
        const names = await Promise.all(hosts.map((each) => migrate(each, { schema: 'chats', prefix })))
        expect(names.flat()).to.deep.equal([tables, functions])
        expect(await host(`${prefix}migrations_lock`).withSchema('chats').select('is_locked')).to.deep.equal([
          { is_locked: 0 },
        ])
      }
    } finally {
      await Promise.all(hosts.map((each) => each.destroy()))
    }
  })

  it('run inside a host’s own Knex, beside its own migrations', async () => {
    const own = {
      getMigrations: async () => ['host1'],
      getMigrationName: (name: string) => name,
      getMigration: async () => nothing,
    }
    await host.migrate.latest({ migrationSource: own })
    await host.migrate.latest({ migrationSource: migrationSource(), tableName: 'chat_migrations' })
    await host.migrate.latest({ migrationSource: own })
    await new PostgresStore({ database: host }).ready()
    expect((await status(host)).pending).to.deep.equal([])
  })

  it('print the SQL that does the same, ledger and all', async () => {
    await migrate(host, { prefix: 'p_', schema: 'chats' })
    const migrated = await shapeNow()
    await host.raw('drop schema chats cascade')
    await host.raw(sql({ prefix: 'p_', schema: 'chats' }).replaceAll('?', '\\?'))
    expect(await shapeNow()).to.deep.equal(migrated)
    expect(await migrate(host, { prefix: 'p_', schema: 'chats' })).to.deep.equal([])
    expect(sql({ applied: [tables, functions] })).to.equal('')
  })

  it('refuse names that would have to be quoted', async () => {
    for (const name of ['Chat', 'a"b', '1a', '', 'a-b', 'x'.repeat(42)]) {
      expect(() => migrationSource({ prefix: name }), name).to.throw(Misconfigured)
      expect(() => sql({ schema: name }), name).to.throw(Misconfigured)
    }
    await migrate(host, { prefix: 'x'.repeat(41) })
    await new PostgresStore({ database: host, prefix: 'x'.repeat(41) }).ready()
  })

  it('are asked for by a store that does not find them', async () => {
    const store = new PostgresStore({ database: host })
    const session = { userId: 'u', sessionId: 's' }
    for (const attempt of [
      () => store.ready(),
      () => store.findSession(session),
      () => ask(store, session),
    ]) {
      const error = await fault(attempt())
      expect(error).to.be.instanceOf(Misconfigured)
      expect(String(error)).to.match(/turnlog migrate/)
    }
  })

  it('name the user in every statement of the functions', async () => {
    await migrate(host)
    const { rows } = await host.raw("select prosrc from pg_proc where proname like 'chat\\_%\\_v1'")
    expect(rows).to.have.length(5)
    for (const { prosrc } of rows as { prosrc: string }[]) {
      const tables = prosrc.match(/(?:from|update|into|join) "chat_(?:sessions|turns|messages)"/g) ?? []
      expect(tables.length).to.be.greaterThan(5)
      expect(prosrc.match(/user_id = p_user|\(user_id/g)).to.have.length(tables.length)
    }
  })
})

const silent = { warn() {}, error() {}, deprecate() {}, debug() {} }
const nothing = { up: async () => {}, down: async () => {} }

const fault = (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => undefined,
    (error: unknown) => error,
  )
