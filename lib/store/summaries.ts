import type { Names } from '../../migrations/names.js'
import type { SessionKey } from '../model/session.js'
import { turnsOf, type Row } from './assembly.js'
import type { Database } from './database.js'
import { storable } from './rows.js'
import type { SummaryClaim } from './store.js'

/** The most messages that are given to be summarized at once. */
const mostMessages = 2000

interface ClaimedRow {
  readonly summary: string | null
  readonly summary_to: number
  readonly cleared_at_turn: number
  readonly oldest_open: number | null
}

interface CoveredRow {
  readonly row: Row | string
}

const live =
  'user_id = :userId and id = :sessionId and is_active and (expires_at is null or expires_at > now())'

/** Take the lease, unless somebody has it. */
const claim = ({ sessions }: Names): string => `
  update ${sessions} set summary_nonce = :nonce,
    summary_lease = clock_timestamp() + :leaseMs::double precision * interval '1 millisecond'
  where ${live} and (summary_lease is null or summary_lease <= clock_timestamp())
  returning summary, summary_to, cleared_at_turn, oldest_open`

/** The visible messages behind the summary, up to the first exchange that is still open. */
const covered = ({ messages, turns }: Names): string => `
  select json_build_array(m.exchange, m.turn, case when t.kept then 'interrupted' else t.status end, m.role,
    case when m.message is null then m.content end, m.message, m.tokens) as row
  from ${messages} m
  join ${turns} t on t.user_id = m.user_id and t.session_id = m.session_id and t.turn = m.turn
  where m.user_id = :userId and m.session_id = :sessionId and m.exchange > :after and not m.pinned
    and (t.kept or t.status in ('done', 'interrupted'))
    and m.exchange < coalesce((
      select min(o.exchange) from ${turns} o
      where o.user_id = :userId and o.session_id = :sessionId and o.turn >= :oldestOpen::integer and o.status = 'open'
    ), 2147483647)
  order by m.exchange, m.turn, m.part limit ${mostMessages + 1}`

/** Keep the text, while the lease is the caller's. */
const save = ({ sessions }: Names): string => `
  update ${sessions} set summary = :text, summary_to = :to, summary_tokens = :tokens,
    summary_nonce = null, summary_lease = null, revision = gen_random_uuid(), updated_at = clock_timestamp()
  where ${live} and summary_nonce = :nonce and cleared_at_turn < :to`

export async function claimSummary(
  database: Database,
  names: Names,
  { userId, sessionId, nonce, leaseMs }: SessionKey & { nonce: string; leaseMs: number },
): Promise<SummaryClaim | undefined> {
  const session = { userId, sessionId }
  const { rows } = await database.run<ClaimedRow>('once', (sql) =>
    sql.raw(claim(names), { ...session, nonce, leaseMs }),
  )
  const [claimed] = rows
  if (!claimed) return undefined
  const after = Math.max(claimed.summary_to, claimed.cleared_at_turn)
  const found = await database.run<CoveredRow>('repeatable', (sql) =>
    sql.raw(covered(names), { ...session, after, oldestOpen: claimed.oldest_open }),
  )
  const all = found.rows.map(({ row }) => (typeof row === 'string' ? (JSON.parse(row) as Row) : row))
  const cut = all.length > mostMessages ? all.at(-1)![0] : Infinity
  return {
    turns: turnsOf(all.filter(([exchange]) => exchange < cut)),
    ...(claimed.summary === null ? {} : { previous: claimed.summary }),
  }
}

export async function saveSummary(
  database: Database,
  names: Names,
  { text, tokens, ...session }: SessionKey & { nonce: string; to: number; text: string; tokens?: number },
): Promise<boolean> {
  const bindings = { ...session, text: storable(text), tokens: tokens ?? null }
  const { rowCount } = await database.run('once', (sql) => sql.raw(save(names), bindings))
  return rowCount === 1
}
