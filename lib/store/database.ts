import type { Knex } from 'knex'

import { HistoryUnavailable } from '../model/errors.js'
import type { Opened } from './connections.js'
import { asFault, DeadlineMissed, isRefused, isTransient, retrying } from './faults.js'

/** A statement as the driver takes it. */
export interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
}

/** A result as the driver gives it. */
export interface Result<Row> {
  readonly rows: readonly Row[]
  readonly rowCount: number | null
}

/** What we use of the client that Knex's pool hands out. */
interface Connection {
  query(statement: { text: string; values: unknown[]; rowMode?: 'array' }): Promise<Result<unknown>>
  end(): Promise<void>
}

/** Knex's own mark: its pool throws the connection away when it comes back. */
const disposed = '__knex__disposed'

/** What we use of Knex's client: its pool. */
interface Pool {
  acquireConnection(): Promise<Connection>
  releaseConnection(connection: Connection): Promise<void>
  readonly pool?: { numPendingAcquires(): number }
}

export interface Deadlines {
  /** How long a call waits for a connection. */
  readonly acquireMs: number
  /** How long a statement may take; the connection that misses it is destroyed. */
  readonly statementMs: number
  /** How long faults that pass are retried. */
  readonly retryMs: number
  /** How many calls may wait for a connection. */
  readonly queue: number
}

type Build = (sql: Knex) => Knex.QueryBuilder | Knex.Raw

/** After a fault that passes, `once` is repeated only when it certainly had no effect; `repeatable` in any case. */
type Kind = 'repeatable' | 'once'

/** Runs a statement on the connection of a transaction. */
export type Run = <Row>(build: Build) => Promise<Result<Row>>

const nativeOf = (sql: Knex, build: Build): Statement => {
  const { sql: text, bindings } = build(sql).toSQL().toNative()
  return { text, values: bindings }
}

/** Unnamed statements on connections of Knex's pool, with deadlines of our own. */
export class Database {
  private opening: Promise<Opened> | undefined
  private closed = false
  /** Every call that holds a connection or waits for one. */
  private readonly running = new Set<Promise<unknown>>()

  constructor(
    private readonly open: () => Promise<Opened>,
    readonly deadlines: Deadlines,
  ) {}

  /** One statement, its rows as arrays; not retried. */
  async arrays(statement: Statement): Promise<readonly unknown[][]> {
    const { knex } = await this.opened()
    const { rows } = await this.connected(knex, (connection) =>
      this.within(
        connection,
        connection.query({ text: statement.text, values: [...statement.values], rowMode: 'array' }),
      ),
    )
    return rows as unknown[][]
  }

  /** One statement from the query builder. Rejects with our own errors alone. */
  async run<Row>(kind: Kind, build: Build): Promise<Result<Row>> {
    return this.safely(kind, async () => {
      const { knex, builder } = await this.opened()
      const statement = nativeOf(builder, build)
      return this.connected(knex, (connection) => this.query<Row>(connection, statement))
    })
  }

  /** Several statements in one commit. Rejects with our own errors alone. */
  async transaction<Outcome>(work: (run: Run) => Promise<Outcome>): Promise<Outcome> {
    return this.safely('once', async () => {
      const { knex, builder } = await this.opened()
      return this.connected(knex, async (connection) => {
        await this.query(connection, { text: 'begin', values: [] })
        try {
          const outcome = await work((build) => this.query(connection, nativeOf(builder, build)))
          await this.query(connection, { text: 'commit', values: [] })
          return outcome
        } catch (error) {
          await this.query(connection, { text: 'rollback', values: [] }).catch(() =>
            destroy(connection, error),
          )
          throw error
        }
      })
    })
  }

  /** End the connections that are ours, once the calls that use them are through. Later calls are refused. */
  async close(): Promise<void> {
    this.closed = true
    await Promise.allSettled(this.running)
    const opened = await this.opening?.catch(() => undefined)
    if (opened?.owned === true) await opened.knex.destroy()
  }

  private opened(): Promise<Opened> {
    this.opening ??= this.open().catch((error: unknown) => {
      this.opening = undefined
      throw error
    })
    return this.opening
  }

  private async safely<Outcome>(kind: Kind, work: () => Promise<Outcome>): Promise<Outcome> {
    try {
      return await retrying(work, this.deadlines.retryMs, kind === 'repeatable' ? isTransient : isRefused)
    } catch (error) {
      throw asFault(error)
    }
  }

  private async query<Row>(connection: Connection, { text, values }: Statement): Promise<Result<Row>> {
    const result = await this.within(connection, connection.query({ text, values: [...values] }))
    return result as Result<Row>
  }

  private async connected<Outcome>(
    knex: Knex,
    work: (connection: Connection) => Promise<Outcome>,
  ): Promise<Outcome> {
    if (this.closed) throw new HistoryUnavailable(undefined, 'The store is closed.')
    const call = this.hold(knex, work)
    this.running.add(call)
    return call.finally(() => this.running.delete(call))
  }

  private async hold<Outcome>(
    knex: Knex,
    work: (connection: Connection) => Promise<Outcome>,
  ): Promise<Outcome> {
    const pool = knex.client as Pool
    const connection = await this.acquire(pool)
    try {
      return await work(connection)
    } finally {
      await pool.releaseConnection(connection)
    }
  }

  private async acquire(pool: Pool): Promise<Connection> {
    if ((pool.pool?.numPendingAcquires() ?? 0) >= this.deadlines.queue) {
      throw new HistoryUnavailable(undefined, 'Too many calls wait for the database. Try again shortly.')
    }
    const acquiring = pool.acquireConnection()
    const { promise, stop } = deadline('acquire', this.deadlines.acquireMs)
    try {
      return await Promise.race([acquiring, promise])
    } catch (error) {
      // It may still come: then it goes back to the pool at once.
      acquiring.then(
        (late) => pool.releaseConnection(late),
        () => undefined,
      )
      throw error
    } finally {
      stop()
    }
  }

  private async within<Outcome>(connection: Connection, work: Promise<Outcome>): Promise<Outcome> {
    const { promise, stop } = deadline('statement', this.deadlines.statementMs)
    try {
      return await Promise.race([work, promise])
    } catch (error) {
      if (error instanceof DeadlineMissed) destroy(connection, error)
      throw error
    } finally {
      stop()
    }
  }
}

function deadline(code: 'acquire' | 'statement', ms: number): { promise: Promise<never>; stop: () => void } {
  let timer: NodeJS.Timeout | undefined
  const promise = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DeadlineMissed(code, ms)), ms)
  })
  return { promise, stop: () => clearTimeout(timer) }
}

/** The pool drops a connection with this mark, and pg cuts its socket, since a query is running. */
function destroy(connection: Connection, reason: unknown): void {
  Object.assign(connection, { [disposed]: reason })
  connection.end().catch(() => undefined)
}
