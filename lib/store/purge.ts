import type { Names } from '../../migrations/names.js'
import type { SessionKey } from '../model/session.js'
import type { Database } from './database.js'
import type { Purgeable, PurgeRequest } from './store.js'

/** Deleted or expired so long ago. A deleted session's row does not change any more, so `updated_at` is when it was deleted. */
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

const lockPurgeable = ({ sessions }: Names): string => `
  select 1 from ${sessions} where user_id = :userId and id = :sessionId and ${isPurgeable} for update`

/** What lies in each table of a session; its own row goes last. */
const deleteAll = ({ messages, turns, sessions }: Names): readonly string[] => [
  `delete from ${messages} where user_id = :userId and session_id = :sessionId`,
  `delete from ${turns} where user_id = :userId and session_id = :sessionId`,
  `delete from ${sessions} where user_id = :userId and id = :sessionId`,
]

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

  /** One commit: nobody ever sees half a session. */
  purge(session: SessionKey, retentionSeconds: number): Promise<boolean> {
    const given = { userId: session.userId, sessionId: session.sessionId, seconds: retentionSeconds }
    return this.database.transaction(async (run) => {
      const { rowCount } = await run((sql) => sql.raw(lockPurgeable(this.names), given))
      if (rowCount === 0) return false
      for (const statement of deleteAll(this.names)) await run((sql) => sql.raw(statement, given))
      return true
    })
  }
}
