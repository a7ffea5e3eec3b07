import { knex, type Knex } from 'knex'

/** What the command hands on to a migration. */
export type Connection = Knex

/** A Knex for one run of the `turnlog` command; the caller destroys it. */
export function connect(url: string): Connection {
  return knex({
    client: 'pg',
    connection: {
      connectionString: url,
      application_name: 'turnlog migrate',
      connectionTimeoutMillis: 10_000,
    },
    // The migrator holds one connection while its ledger asks on another.
    pool: { min: 0, max: 2 },
    // Knex would write to the console what it throws as well.
    log: { warn: ignore, error: ignore, debug: ignore, deprecate: ignore },
  })
}

const ignore = (): void => {}
