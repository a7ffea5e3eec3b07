import type { Knex } from 'knex'

import { Misconfigured } from '../lib/model/errors.js'
import { createChatTables } from './20261122090000_create_chat_tables.js'
import { createTurnFunctions } from './20261122090100_create_turn_functions.js'
import { namesAt, type Names, type Place } from './names.js'

export type { Place } from './names.js'

/** One step of the schema: its statements forth and back, and the tables that it makes. */
interface Step {
  readonly name: string
  readonly makes: (names: Names) => readonly string[]
  readonly up: (names: Names) => readonly string[]
  readonly down: (names: Names) => readonly string[]
}

const steps: readonly Step[] = Object.freeze([createChatTables, createTurnFunctions])

/** How long a migrator waits for another one. */
const longestWaitMs = 30_000
const pauseMs = 200

/** Knex reads a question mark as a binding. */
const asWritten = (knex: Knex, sql: string): Knex.Raw => knex.raw(sql.replaceAll('?', '\\?'))

async function refuseForeignTables(knex: Knex, tables: readonly string[]): Promise<void> {
  for (const table of tables) {
    const { rows } = (await knex.raw('select to_regclass(?) is not null as taken', [table])) as unknown as {
      rows: { taken: boolean }[]
    }
    if (rows[0]?.taken !== true) continue
    throw new Misconfigured(
      `The table ${table} exists already and is not Turnlog's, as far as its ledger says. Choose another prefix or schema, or remove the table.`,
    )
  }
}

async function runAll(knex: Knex, statements: readonly string[]): Promise<void> {
  for (const sql of statements) await asWritten(knex, sql)
}

/**
 * The migrations for a host's own Knex: `knex.migrate.latest({ migrationSource: migrationSource(), tableName: 'chat_migrations' })`.
 * Give them a ledger table of their own: Knex refuses to share one between sources.
 */
export function migrationSource(place: Place = {}): Knex.MigrationSource<Step> {
  const names = namesAt(place)
  return {
    getMigrations: () => Promise.resolve([...steps]),
    getMigrationName: (step) => step.name,
    getMigration: (step) =>
      Promise.resolve({
        up: async (knex: Knex) => {
          await refuseForeignTables(knex, step.makes(names))
          await runAll(knex, step.up(names))
        },
        down: (knex: Knex) => runAll(knex, step.down(names)),
      }),
  }
}

function configOf(place: Place): Knex.MigratorConfig {
  const names = namesAt(place)
  return {
    migrationSource: migrationSource(place),
    tableName: `${names.prefix}migrations`,
    schemaName: names.schema,
    disableTransactions: false,
    disableMigrationsListValidation: false,
  }
}

/** Two migrators may meet: at Knex's lock, or while both make the schema or the ledger. */
function isMeeting(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string }
  return (
    name === 'MigrationLocked' || code === '42P07' || code === '42710' || code === '23505' || code === '42P06'
  )
}

async function alone<Result>(place: Place, work: () => Promise<Result>): Promise<Result> {
  const end = Date.now() + longestWaitMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!isMeeting(error)) throw error
      if (Date.now() > end) {
        const lock = namesAt(place).qualified('migrations_lock')
        throw new Misconfigured(
          `Another migration holds ${lock}. If none is running, one was killed: set is_locked to 0 there, and try again.`,
          { cause: error },
        )
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random())))
    }
  }
}

/**
 * The ledger as Knex makes it, but with one lock whoever comes at once: of two migrators Knex would let each add a row, and
 * could then never take the lock.
 */
async function makeLedger(knex: Knex, place: Place): Promise<void> {
  const { schema } = place
  if (schema !== undefined) await knex.raw('create schema if not exists ??', [schema])
  await runAll(knex, ledgerSql(namesAt(place)))
}

function indexOfStep(name: string): number {
  const index = steps.findIndex((step) => step.name === name)
  if (index >= 0) return index
  throw new Misconfigured(
    `There is no migration ${name}. There are: ${steps.map((step) => step.name).join(', ')}.`,
  )
}

async function appliedNames(knex: Knex, place: Place): Promise<string[]> {
  const { prefix, schema } = namesAt(place)
  const schemaBuilder = schema === undefined ? knex.schema : knex.schema.withSchema(schema)
  if (!(await schemaBuilder.hasTable(`${prefix}migrations`))) return []
  const ledger = knex(`${prefix}migrations`).select('name').orderBy('id')
  const rows = (await (schema === undefined ? ledger : ledger.withSchema(schema))) as { name: string }[]
  return rows.map((row) => row.name)
}

async function moveTo(knex: Knex, place: Place, name: string): Promise<string[]> {
  const target = indexOfStep(name)
  const moved: string[] = []
  for (;;) {
    const applied = await appliedNames(knex, place)
    if (applied.length === target + 1) return moved
    const step = applied.length <= target ? steps[applied.length]! : steps[applied.length - 1]!
    const config = { ...configOf(place), name: step.name } as Knex.MigratorConfig
    if (applied.length <= target) await knex.migrate.up(config)
    else await knex.migrate.down(config)
    moved.push(step.name)
  }
}

/** Bring the schema to its newest state, or up or down to the migration `to`. Resolves to the names that were run. Safe to repeat and to run twice at once. */
export function migrate(knex: Knex, options: Place & { readonly to?: string } = {}): Promise<string[]> {
  const { to, ...place } = options
  namesAt(place)
  return alone(place, async () => {
    await makeLedger(knex, place)
    if (to !== undefined) return moveTo(knex, place, to)
    const [, names] = (await knex.migrate.latest(configOf(place))) as [number, string[]]
    return names
  })
}

/** Undo what the last `migrate` did. Everything that the tables hold is lost. Resolves to the names that were undone. */
export function rollback(knex: Knex, place: Place = {}): Promise<string[]> {
  namesAt(place)
  return alone(place, async () => {
    const [, names] = (await knex.migrate.rollback(configOf(place))) as [number, string[]]
    return names
  })
}

/** Which migrations were run, and which are pending. Writes nothing. */
export async function status(
  knex: Knex,
  place: Place = {},
): Promise<{ readonly applied: readonly string[]; readonly pending: readonly string[] }> {
  const applied = await appliedNames(knex, place)
  return { applied, pending: steps.map((step) => step.name).filter((name) => !applied.includes(name)) }
}

const ledgerSql = (names: Names): string[] => {
  const ledger = names.qualified('migrations')
  const lock = names.qualified('migrations_lock')
  return [
    `create table if not exists ${ledger} (id serial primary key, name varchar(255), batch integer, migration_time timestamptz)`,
    `create table if not exists ${lock} (index serial primary key, is_locked integer)`,
    `insert into ${lock} (index, is_locked) select 1, 0 where not exists (select 1 from ${lock}) on conflict do nothing`,
  ]
}

function stepSql(step: Step, names: Names): string[] {
  const ledger = names.qualified('migrations')
  const entry = `insert into ${ledger} (name, batch, migration_time) select '${step.name}', coalesce(max(batch), 0) + 1, now() from ${ledger}`
  return [`-- ${step.name}`, ...step.up(names).map((text) => `${text};`), `${entry};`]
}

/** The SQL of every migration, or of those not named in `applied`, as a text for a database's own administrator; the ledger included. */
export function sql(options: Place & { readonly applied?: readonly string[] } = {}): string {
  const { applied = [], ...place } = options
  const names = namesAt(place)
  const pending = steps.filter((step) => !applied.includes(step.name))
  if (pending.length === 0) return ''
  const schema = names.schema === undefined ? [] : [`create schema if not exists "${names.schema}";`]
  const ledger = ledgerSql(names).map((text) => `${text};`)
  const body = pending.flatMap((step) => stepSql(step, names))
  return ['begin;', ...schema, ...ledger, ...body, 'commit;', ''].join('\n')
}
