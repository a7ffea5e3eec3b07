import type { Knex } from 'knex'

import { EmbeddedStore } from './embedded.js'
import { PostgresStore } from './postgres.js'
import type { Store } from './store.js'

/** Where the durable store is. */
export type Database =
  /** A Postgres URL; `embedded`: PGlite in TURNLOG_DIR, default ./.turnlog; `memory`: PGlite, gone with the process. */
  | string
  /** PGlite in this directory. */
  | { readonly directory: string }
  /** The host's own Knex, never closed nor changed; or what pg takes as its configuration. */
  | Knex
  | Knex.PgConnectionConfig

export interface Placing {
  readonly prefix: string
  readonly schema: string | undefined
  /** For distributed databases: every turn's call is a statement of its own. */
  readonly single: boolean
}

const defaultDirectory = './.turnlog'

/** The store of a database. Nothing connects before it is first used. */
export function openStore(database: Database, placing: Placing): Store {
  if (database === 'memory') return new EmbeddedStore(placing)
  if (database === 'embedded') {
    return new EmbeddedStore({ ...placing, directory: process.env.TURNLOG_DIR ?? defaultDirectory })
  }
  if (isDirectory(database)) return new EmbeddedStore({ ...placing, directory: database.directory })
  return new PostgresStore({ ...placing, database })
}

const isDirectory = (database: Database): database is { readonly directory: string } =>
  typeof database === 'object' && 'directory' in database
