import cluster from 'node:cluster'
import { join } from 'node:path'

import { migrate } from '../../migrations/index.js'
import type { Place } from '../../migrations/names.js'
import { Misconfigured } from '../model/errors.js'
import { openOwn, type Opened } from './connections.js'
import { lockDirectory, type DirectoryLock } from './directory-lock.js'
import { PgliteStream, type WireDatabase } from './pglite-stream.js'
import { PostgresStore, type StoreLimits } from './postgres.js'

export interface EmbeddedOptions extends Place, StoreLimits {
  /** Where the database lies; in memory when absent. */
  readonly directory?: string
}

/** The one connection is shared by all: waiting for it is normal, and nothing between can break. */
const embeddedAcquireMs = 10_000

interface Pglite extends WireDatabase {
  readonly waitReady: Promise<void>
  close(): Promise<void>
}

async function loadPglite(): Promise<new (directory?: string) => Pglite> {
  try {
    const { PGlite } = await import('@electric-sql/pglite')
    return PGlite
  } catch (error) {
    throw new Misconfigured(
      'The embedded database is not installed. Run `npm install @electric-sql/pglite`, or set a database URL.',
      { cause: error },
    )
  }
}

function refuseWorkers(): void {
  if (!cluster.isWorker) return
  throw new Misconfigured(
    'The embedded database serves one process only, and this is a cluster worker. Use Postgres (DATABASE_URL) for several processes.',
  )
}

/** Ordinary pg and Knex on one connection, whose socket ends in this process. */
async function connectTo(database: Pglite, place: Place): Promise<Opened> {
  const connection = {
    user: 'postgres',
    database: 'postgres',
    ssl: false,
    stream: () => new PgliteStream(database),
  }
  const opened = await openOwn(connection, 1)
  await migrate(opened.knex, place)
  return opened
}

/** A database in this process, opened once, when first used; it migrates itself. */
class Embedded {
  private lock: DirectoryLock | undefined
  private database: Pglite | undefined

  constructor(private readonly options: EmbeddedOptions) {}

  async open(): Promise<Opened> {
    refuseWorkers()
    const Database = await loadPglite()
    const { directory } = this.options
    if (directory !== undefined) this.lock = await lockDirectory(directory)
    try {
      this.database = new Database(directory === undefined ? undefined : join(directory, 'data'))
      await this.database.waitReady
      return await connectTo(this.database, this.options)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.database?.close()
    await this.lock?.release()
    this.database = undefined
    this.lock = undefined
  }
}

/** The store on a Postgres inside this process: in memory, or in a directory that this process locks. */
export class EmbeddedStore extends PostgresStore {
  private readonly embedded: Embedded

  constructor(options: EmbeddedOptions = {}) {
    const embedded = new Embedded(options)
    super({ acquireMs: embeddedAcquireMs, ...options, open: () => embedded.open() })
    this.embedded = embedded
  }

  override async close(): Promise<void> {
    await super.close()
    await this.embedded.close()
  }
}
