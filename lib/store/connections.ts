import type { Knex } from 'knex'

export interface Opened {
  readonly knex: Knex
  /** Whether the connections are ours to end. */
  readonly owned: boolean
  /** Builds statements and runs none: a host's Knex may rename columns on their way. */
  readonly builder: Knex
}

/** Knex writes to the console when a connection fails; the caller gets the same error. */
const silent = { warn() {}, error() {}, deprecate() {}, debug() {} }

/** Knex is loaded when a store is first used. */
async function loadKnex(): Promise<(config: Knex.Config) => Knex> {
  const { default: makeKnex } = await import('knex')
  return makeKnex
}

/** The host's own connections: never closed, never reconfigured. */
export async function openHosts(knex: Knex): Promise<Opened> {
  const makeKnex = await loadKnex()
  return { knex, owned: false, builder: makeKnex({ client: 'pg' }) }
}

/** A connection that is not there by then is given up, and its socket with it. */
const connectMs = 5_000
const acquireMs = 15_000

/** Connections of our own, at most so many, none while idle. */
export async function openOwn(connection: object, most: number): Promise<Opened> {
  const makeKnex = await loadKnex()
  const knex = makeKnex({
    client: 'pg',
    connection: { connectionTimeoutMillis: connectMs, keepAlive: true, ...connection },
    pool: { min: 0, max: most },
    // Longer than any deadline of ours: a wait that nobody waits for any more ends with it.
    acquireConnectionTimeout: acquireMs,
    log: silent,
  })
  return { knex, owned: true, builder: makeKnex({ client: 'pg' }) }
}
