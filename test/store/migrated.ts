import knex from 'knex'

import { migrate } from '../../migrations/index.js'

/** Make the tables in a fresh database, on a connection of their own. */
export async function migrateAt(url: string): Promise<void> {
  const own = knex({ client: 'pg', connection: url })
  try {
    await migrate(own)
  } finally {
    await own.destroy()
  }
}
