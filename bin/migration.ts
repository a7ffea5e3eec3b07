import { connect, type Connection } from '../migrations/connection.js'
import { migrate, rollback, sql, status } from '../migrations/index.js'
import type { Request } from './arguments.js'

type Asked = Exclude<Request, { readonly kind: 'help' | 'version' | 'sweep' }>

/** Do what was asked; the lines to print. */
export async function runMigration(asked: Asked): Promise<readonly string[]> {
  if (asked.kind !== 'sql') return connected(asked.database, (knex) => onDatabase(knex, asked))
  const { database, place } = asked
  if (database === undefined) return [sql(place)]
  return connected(database, async (knex) => [
    sql({ ...place, ...(await status(knex, place)) }) || '-- Nothing is pending.',
  ])
}

async function onDatabase(
  knex: Connection,
  asked: Exclude<Asked, { kind: 'sql' }>,
): Promise<readonly string[]> {
  const { kind, place } = asked
  if (kind === 'status') return linesOf(await status(knex, place))
  if (kind === 'rollback') return namesOr(await rollback(knex, place), 'undone', 'Nothing to undo.')
  const moved = await migrate(knex, { ...place, ...(asked.to === undefined ? {} : { to: asked.to }) })
  if (moved.length === 0) return ['Nothing to do: the schema is where it should be.']
  const { applied } = await status(knex, place)
  return moved.map((name) => `${applied.includes(name) ? 'applied' : 'undone'}  ${name}`)
}

const linesOf = ({
  applied,
  pending,
}: {
  applied: readonly string[]
  pending: readonly string[]
}): string[] => [...applied.map((name) => `applied  ${name}`), ...pending.map((name) => `pending  ${name}`)]

const namesOr = (names: readonly string[], what: string, nothing: string): string[] =>
  names.length === 0 ? [nothing] : names.map((name) => `${what}  ${name}`)

async function connected<T>(url: string, work: (knex: Connection) => Promise<T>): Promise<T> {
  const knex = connect(url)
  try {
    return await work(knex)
  } finally {
    await knex.destroy()
  }
}
