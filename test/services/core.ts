import createKnex from 'knex'

import { createTurnlog, type Turnlog, type TurnlogOptions } from '../../lib/index.js'
import { migrate } from '../../migrations/index.js'
import { freshDatabase } from './postgres.js'

export interface FreshCore {
  readonly turnlog: Turnlog
  readonly url: string
  end(): Promise<void>
}

/** A Turnlog on a new, migrated database of the run's Postgres. */
export async function freshCore(options: TurnlogOptions = {}): Promise<FreshCore> {
  const database = await freshMigratedDatabase()
  const turnlog = createTurnlog({ database: database.url, ...options })
  return {
    turnlog,
    url: database.url,
    end: async () => {
      await turnlog.close({ drainMs: 0 })
      await database.drop()
    },
  }
}

/** A new database with the tables in it. */
export async function freshMigratedDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const database = await freshDatabase()
  const knex = createKnex({ client: 'pg', connection: database.url, pool: { min: 0, max: 1 } })
  await migrate(knex, {})
  await knex.destroy()
  return database
}
