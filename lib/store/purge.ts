import type { Names } from '../../migrations/names.js'
import type { SessionKey } from '../model/session.js'
import type { Database } from './database.js'
import type { Purgeable, PurgeRequest, PurgeStep } from './store.js'

/** Deleted or expired so long ago. Only a purge changes a deleted session's row, and it leaves `updated_at`: that is when it was deleted. */
const isPurgeable = `((not is_active and updated_at <= clock_timestamp() - :seconds * interval '1 second')
    or expires_at <= clock_timestamp() - :seconds * interval '1 second')`

/**
 * One stretch of the sessions, by their key: no index knows when a session expires, because every turn would have to
 * move its place there.
 */
const purgeableAfter = ({ sessions }: Names): string => `
  with page as (
    select user_id, id, ${isPurgeable} as purgeable from ${sessions}
    where (user_id, id) > (:userId::text, :sessionId::text) order by user_id, id limit :limit::integer
  )
  select (select json_agg(json_build_array(user_id, id)) from page where purgeable) as found,
    (select json_build_array(user_id, id) from page order by user_id desc, id desc limit 1) as last,
    (select count(*)::integer from page) as looked`

/**
 * From here on nothing finds the session, not even a restore, and a write that waited for its row is refused: the rest can go
 * batch by batch.
 */
const condemn = ({ sessions }: Names): string => `
  update ${sessions} set is_active = false, expires_at = least(expires_at, updated_at)
  where user_id = :userId and id = :sessionId and ${isPurgeable}`

const deleteMessages = ({ messages }: Names): string => `
  delete from ${messages} where user_id = :userId and session_id = :sessionId and (exchange, turn, part) in (
    select exchange, turn, part from ${messages} where user_id = :userId and session_id = :sessionId
    order by exchange, turn, part limit :batch::integer)`

const deleteTurns = ({ turns }: Names): string => `
  delete from ${turns} where user_id = :userId and session_id = :sessionId and turn in (
    select turn from ${turns} where user_id = :userId and session_id = :sessionId order by turn limit :batch::integer)`

const deleteSession = ({ sessions }: Names): string =>
  `delete from ${sessions} where user_id = :userId and id = :sessionId and ${isPurgeable}`

const takeLease = ({ leases }: Names): string => `
  insert into ${leases} as l (name, holder, held_until)
  values (:name, :holder::uuid, clock_timestamp() + :leaseMs * interval '1 millisecond')
  on conflict (name) do update set holder = excluded.holder, held_until = excluded.held_until
  where l.holder = excluded.holder or l.held_until <= clock_timestamp()`

const endLease = ({ leases }: Names): string =>
  `delete from ${leases} where name = :name and holder = :holder::uuid`

interface Found {
  readonly found: readonly (readonly [string, string])[] | null
  readonly last: readonly [string, string] | null
  readonly looked: number
}

const keyOf = ([userId, sessionId]: readonly [string, string]): SessionKey => ({ userId, sessionId })

/** The statements of a sweep. */
export class Purge {
  constructor(
    private readonly database: Database,
    private readonly names: Names,
    /** Rows that one statement deletes: a session of any size goes in steps, each far below a statement's deadline. */
    private readonly batch: number,
  ) {}

  async hold(name: string, holder: string, leaseMs: number): Promise<boolean> {
    const { rowCount } = await this.database.run('repeatable', (sql) =>
      sql.raw(takeLease(this.names), { name, holder, leaseMs }),
    )
    return rowCount === 1
  }

  async release(name: string, holder: string): Promise<void> {
    await this.database.run('repeatable', (sql) => sql.raw(endLease(this.names), { name, holder }))
  }

  async list({ retentionSeconds, after, limit }: PurgeRequest): Promise<Purgeable> {
    const { userId, sessionId } = after ?? { userId: '', sessionId: '' }
    const { rows } = await this.database.run<Found>('repeatable', (sql) =>
      sql.raw(purgeableAfter(this.names), { userId, sessionId, limit, seconds: retentionSeconds }),
    )
    const { found, last, looked } = rows[0]!
    const sessions = (found ?? []).map(keyOf)
    return looked < limit || last === null ? { sessions } : { sessions, next: keyOf(last) }
  }

  /** One batch, each statement a commit of its own: repeated until it is `purged`. Whatever breaks in between is taken up again. */
  async purge(session: SessionKey, retentionSeconds: number): Promise<PurgeStep> {
    const { userId, sessionId } = session
    const given = { userId, sessionId, seconds: retentionSeconds, batch: this.batch }
    const run = async (statement: string): Promise<number | null> =>
      (await this.database.run('repeatable', (sql) => sql.raw(statement, given))).rowCount
    if ((await run(condemn(this.names))) === 0) return 'kept'
    for (const statement of [deleteMessages(this.names), deleteTurns(this.names)]) {
      if ((await run(statement)) === this.batch) return 'more'
    }
    await run(deleteSession(this.names))
    return 'purged'
  }
}
