import { randomUUID } from 'node:crypto'

import type { Knex } from 'knex'

import { namesAt, type Names, type Place } from '../../migrations/names.js'
import { InvalidRequest, Misconfigured } from '../model/errors.js'
import type { History } from '../model/history.js'
import { isStorableKey } from '../model/identity.js'
import type { ListedMessage, MessagePlace } from '../model/message.js'
import type { Page, PageRequest } from '../model/page.js'
import type { Session, SessionFields, SessionKey, Stats } from '../model/session.js'
import { highestTurn, type FinishedTurn, type TurnRecord } from '../model/turn.js'
import { assembleHistory } from './assembly.js'
import { checkPage, readMessageCursor, readSessionCursor, writeCursor } from './cursor.js'
import { openHosts, openOwn, type Opened } from './connections.js'
import { Database } from './database.js'
import { noTables } from './faults.js'
import { Lane } from './lane.js'
import { Purge } from './purge.js'
import {
  beginArgument,
  beginResult,
  completeArgument,
  completeResult,
  listedMessageOf,
  messageColumns,
  type MessageRow,
  sessionColumns,
  sessionFields,
  sessionOf,
  type SessionRow,
  storable,
  turnOf,
  type TurnRow,
} from './rows.js'
import type {
  BeginCall,
  BeginResult,
  CompleteCall,
  CompleteResult,
  Purgeable,
  PurgeRequest,
  PurgeStep,
  SessionSettings,
  Store,
  SummaryClaim,
} from './store.js'
import { claimSummary, saveSummary } from './summaries.js'

export interface StoreLimits {
  /** How long a call waits for a connection, in milliseconds; default 1,000. */
  readonly acquireMs?: number
  /** How long a statement may take, in milliseconds; default 5,000. */
  readonly statementMs?: number
  /** How long faults that pass are retried, in milliseconds; default 2,000. */
  readonly retryMs?: number
  /** How many calls may wait; default 10,000. */
  readonly queue?: number
  /** Rows that one statement of a purge deletes; default 5,000. */
  readonly purgeRows?: number
}

export interface PostgresOptions extends Place, StoreLimits {
  /** A URL, what pg takes as its configuration, or the host's own Knex, which is never closed nor changed. */
  readonly database: string | Knex.PgConnectionConfig | Knex
  /** Connections of our own pool; default 10. */
  readonly connections?: number
  /** For distributed databases (Citus, CockroachDB, YugabyteDB): every turn's call is a statement of its own. */
  readonly single?: boolean
}

/** What a store is made of, once somebody has said where its database is. */
export interface StoreParts extends Place, StoreLimits {
  readonly open: () => Promise<Opened>
  readonly single?: boolean
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const longestKeyBytes = 255
const mostHistoryMessages = 1_000

const isKnex = (database: PostgresOptions['database']): database is Knex => typeof database === 'function'

function openPostgres({ database, connections = 10 }: PostgresOptions): Promise<Opened> {
  if (isKnex(database)) return openHosts(database)
  const connection =
    typeof database === 'string'
      ? { connectionString: database, application_name: 'turnlog' }
      : { application_name: 'turnlog', ...database }
  return openOwn(connection, connections)
}

/** A host's Knex must speak to Postgres through pg: said at creation, not at the first turn. */
function checkDatabase({ database }: PostgresOptions): void {
  if (typeof database === 'string' && database !== '') return
  if (isKnex(database)) {
    const { driverName } = database.client as { driverName?: string }
    if (driverName === 'pg' || driverName === 'cockroachdb') return
    throw new Misconfigured(
      `database: a Knex instance must have the client "pg", got ${JSON.stringify(driverName)}.`,
    )
  }
  if (typeof database === 'object' && database !== null) return
  throw new Misconfigured('database must be a Postgres URL, a pg configuration, or a Knex instance.')
}

/** The store on Postgres 13 and newer. Connects when it is first used. */
export class PostgresStore implements Store {
  private readonly names: Names
  private readonly database: Database
  private readonly begins: Lane
  private readonly completions: Lane
  private readonly purge: Purge

  constructor(options: PostgresOptions | StoreParts) {
    this.names = namesAt(options)
    const {
      acquireMs = 1_000,
      statementMs = 5_000,
      retryMs = 2_000,
      queue = 10_000,
      purgeRows = 5_000,
      single = false,
    } = options
    if (!('open' in options)) checkDatabase(options)
    const open = 'open' in options ? options.open : () => openPostgres(options)
    this.database = new Database(open, { acquireMs, statementMs, retryMs, queue })
    this.purge = new Purge(this.database, this.names, purgeRows)
    const lane = { database: this.database, queue, single }
    this.begins = new Lane({ ...lane, procedure: this.names.beginTurn })
    this.completions = new Lane({ ...lane, procedure: this.names.completeTurn })
  }

  async ready(): Promise<void> {
    const { beginTurn, completeTurn } = this.names
    const { rows } = await this.database.run<{ present: boolean }>('repeatable', (sql) =>
      sql.raw(functionsPresent, [
        `${beginTurn}(text,text,jsonb,boolean)`,
        `${completeTurn}(text,text,jsonb,boolean)`,
      ]),
    )
    if (rows[0]?.present !== true) throw noTables()
  }

  async beginTurn(call: BeginCall): Promise<BeginResult> {
    checkSession(call)
    checkNonce(call.nonce)
    if (call.create !== undefined) checkFields(call.create)
    if (call.key !== undefined && !isStorableKey(call.key, longestKeyBytes)) {
      throw new InvalidRequest(
        `The idempotency key must be 1 to ${longestKeyBytes} bytes of well-formed text without NUL.`,
        { param: 'idempotency_key' },
      )
    }
    return beginResult(await this.begins.call(call, beginArgument(call)), call.limit)
  }

  async completeTurn(call: CompleteCall): Promise<CompleteResult> {
    checkSession(call)
    checkNonce(call.nonce)
    return completeResult(await this.completions.call(call, completeArgument(call)))
  }

  async renewLease(turn: SessionKey & { turn: number; nonce: string; leaseMs: number }): Promise<boolean> {
    const { rowCount } = await this.database.run('repeatable', (sql) =>
      this.turns(sql, turn)
        .where({ turn: turn.turn, nonce: turn.nonce, status: 'open' })
        .whereExists(this.sessions(sql, turn).select(sql.raw('1')).where('cleared_at_turn', '<', turn.turn))
        .update({ lease_until: sql.raw("clock_timestamp() + ? * interval '1 millisecond'", [turn.leaseMs]) }),
    )
    return rowCount === 1
  }

  async openBefore(turn: SessionKey & { turn: number }): Promise<number | undefined> {
    for (;;) {
      const { rows } = await this.database.run<{ turn: number; late: boolean }>('repeatable', (sql) =>
        this.turns(sql, turn)
          .where({ status: 'open' })
          .where('turn', '<', turn.turn)
          .where('turn', '>=', this.sessions(sql, turn).select('oldest_open'))
          .orderBy('turn')
          .limit(1)
          .select('turn', sql.raw('lease_until <= clock_timestamp() as late')),
      )
      const lowest = rows[0]
      if (lowest === undefined) return undefined
      if (!lowest.late) return lowest.turn
      await this.closeLate(turn)
    }
  }

  async readHistory(
    session: SessionKey & { limit?: number; joins?: readonly string[] },
  ): Promise<{ settings: SessionSettings; history: History; exchange?: number } | undefined> {
    checkSession(session)
    const { userId, sessionId, limit = null, joins = [] } = session
    const { rows } = await this.database.run<HistoryRow>('repeatable', (sql) =>
      sql.raw(historyNow(this.names), { userId, sessionId, limit, calls: joins.map(storable) }),
    )
    const [row] = rows
    if (row === undefined) return undefined
    const settings = { model: row.model, maxHistoryMessages: row.most }
    const history = assembleHistory(row.history, row.revision, limit ?? row.most)
    return { settings, history, ...(row.exchange === null ? {} : { exchange: row.exchange }) }
  }

  async createSession(session: SessionKey & SessionFields): Promise<Session | undefined> {
    checkSession(session)
    checkFields(session)
    const { rows } = await this.database.run<SessionRow>('once', (sql) =>
      this.table(sql, 'sessions')
        .insert({
          user_id: session.userId,
          id: session.sessionId,
          revision: randomUUID(),
          ...sessionFields(session),
          ...expiry(sql, session),
        })
        .onConflict(['user_id', 'id'])
        .ignore()
        .returning(sessionColumns),
    )
    return rows[0] && sessionOf(rows[0])
  }

  async findSession(session: SessionKey): Promise<Session | undefined> {
    checkSession(session)
    const { rows } = await this.database.run<SessionRow>('repeatable', (sql) =>
      this.sessions(sql, session).select(sessionColumns),
    )
    return rows[0] && sessionOf(rows[0])
  }

  async listSessions(userId: string, page: PageRequest): Promise<Page<Session>> {
    checkPage(page)
    checkSession({ userId, sessionId: '-' })
    const [field, cursor] = cursorOf(page)
    const place = cursor === undefined ? undefined : readSessionCursor(field, cursor)
    const back = field === 'before'
    const { rows } = await this.database.run<SessionRow>('repeatable', (sql) => {
      const query = this.table(sql, 'sessions')
        .where({ user_id: userId, is_active: true })
        .where(unexpired)
        .select(sessionColumns)
        .select(sql.raw(`${exactMoment} as activity`))
        .orderBy([
          { column: 'activity_at', order: back ? 'asc' : 'desc' },
          { column: 'id', order: back ? 'desc' : 'asc' },
        ])
        .limit(page.limit + 1)
        .offset(page.offset ?? 0)
      if (place === undefined) return query
      const [at, id] = place
      return query.where('activity_at', back ? '>=' : '<=', at).where((either) => {
        void either.where('activity_at', back ? '>' : '<', at).orWhere('id', back ? '<' : '>', id)
      })
    })
    return pageOf(rows, page.limit, back, sessionOf, (row) => [row.activity!, row.id])
  }

  async stats(userId: string): Promise<Stats> {
    checkSession({ userId, sessionId: '-' })
    const { rows } = await this.database.run<Stats>('repeatable', (sql) =>
      this.table(sql, 'sessions')
        .where({ user_id: userId, is_active: true })
        .where(unexpired)
        .select(sql.raw(countersSum)),
    )
    return rows[0]!
  }

  async changeSession(session: SessionKey & SessionFields): Promise<Session | undefined> {
    checkSession(session)
    checkFields(session)
    const { rows } = await this.database.run<SessionRow>('repeatable', (sql) =>
      this.sessions(sql, session)
        .update({
          ...sessionFields(session),
          ...expiry(sql, session),
          updated_at: sql.raw('now()'),
        })
        .returning(sessionColumns),
    )
    return rows[0] && sessionOf(rows[0])
  }

  async deleteSession(session: SessionKey): Promise<boolean> {
    return this.touchSession(session, () => ({ is_active: false }))
  }

  async clearSession(session: SessionKey): Promise<boolean> {
    return this.touchSession(session, (sql) => ({
      cleared_at_turn: sql.ref('turn_count'),
      message_count: 0,
      token_count: 0,
      byte_count: 0,
      summary: null,
      summary_to: 0,
      summary_nonce: null,
      system_exchange: null,
      system_turn: null,
      oldest_open: null,
    }))
  }

  async restoreSession(session: SessionKey): Promise<Session | undefined> {
    checkSession(session)
    const { userId, sessionId } = session
    const { rows } = await this.database.run<SessionRow>('repeatable', (sql) =>
      sql
        .with(
          'restored',
          this.table(sql, 'sessions')
            .where({ user_id: userId, id: sessionId, is_active: false })
            .where(unexpired)
            .update({
              is_active: true,
              oldest_open: null,
              revision: randomUUID(),
              updated_at: sql.raw('clock_timestamp()'),
            })
            .returning(sessionColumns),
        )
        // Without a lease its owner comes too late.
        .with(
          'closed',
          this.turns(sql, session)
            .whereNotNull('lease_until')
            .whereExists(sql.select('id').from('restored'))
            .update({
              status: 'interrupted',
              closed_at: sql.raw('coalesce(closed_at, clock_timestamp())'),
              lease_until: null,
            }),
        )
        .select()
        .from('restored'),
    )
    return rows[0] ? sessionOf(rows[0]) : this.findSession(session)
  }

  async forkSession(
    fork: SessionKey & { to: string; name?: string; until?: MessagePlace },
  ): Promise<Session | 'taken' | 'no_message' | undefined> {
    checkSession(fork)
    const { userId, sessionId, to, name, until } = fork
    checkSession({ userId, sessionId: to })
    const { rows } = await this.database.run<{ status: string }>('once', (sql) =>
      sql.raw(
        `select ${this.names.forkSession}(p_user => ?, p_session => ?, p_to => ?, p_name => ?, p_turn => ?, p_part => ?) as status`,
        [
          userId,
          sessionId,
          to,
          name === undefined ? null : storable(name),
          until?.turn ?? null,
          until?.part ?? null,
        ],
      ),
    )
    const status = rows[0]?.status
    if (status === 'taken' || status === 'no_message') return status
    return status === 'forked' ? this.findSession({ userId, sessionId: to }) : undefined
  }

  async deleteMessage(message: SessionKey & MessagePlace): Promise<boolean | undefined> {
    checkSession(message)
    const { userId, sessionId, turn, part } = message
    const { rows } = await this.database.run<{ status: string }>('once', (sql) =>
      sql.raw(
        `select ${this.names.deleteMessage}(p_user => ?, p_session => ?, p_turn => ?, p_part => ?) as status`,
        [userId, sessionId, turn, part],
      ),
    )
    const status = rows[0]?.status
    return status === 'no_session' ? undefined : status === 'deleted'
  }

  async listMessages(
    session: SessionKey & { superseded?: boolean },
    page: PageRequest,
  ): Promise<Page<ListedMessage> | undefined> {
    checkPage(page)
    if ((await this.findSession(session)) === undefined) return undefined
    const [field, cursor] = cursorOf(page)
    const place = cursor === undefined ? undefined : readMessageCursor(field, cursor)
    const back = field === 'before'
    const down = (page.order === 'desc') !== back
    const { rows } = await this.database.run<MessageRow>('repeatable', (sql) => {
      const query = this.messages(sql, session)
        .whereNotIn('t.status', session.superseded === true ? [] : ['superseded'])
        .orderBy(
          ['m.exchange', 'm.turn', 'm.part'].map((column) => ({ column, order: down ? 'desc' : 'asc' })),
        )
        .limit(page.limit + 1)
        .offset(page.offset ?? 0)
      if (place === undefined) return query
      return query.whereRaw(`(m.exchange, m.turn, m.part) ${down ? '<' : '>'} (?, ?, ?)`, [...place])
    })
    return pageOf(rows, page.limit, back, listedMessageOf, (row) => [row.exchange, row.turn, row.part])
  }

  async findTurn(turn: SessionKey & { turn: number }): Promise<TurnRecord | undefined> {
    const row = await this.turnRow(turn)
    return row && turnOf(row)
  }

  async findFinishedTurn(turn: SessionKey & { turn: number }): Promise<FinishedTurn | undefined> {
    const row = await this.turnRow(turn)
    if (row?.status !== 'done' && row?.status !== 'superseded') return undefined
    const { rows } = await this.database.run<MessageRow>('repeatable', (sql) =>
      this.messages(sql, turn).where({ 'm.exchange': row.exchange, 'm.turn': row.turn }).orderBy('m.part'),
    )
    // Cleared or deleted meanwhile: a turn has at least its question.
    if (rows.length === 0) return undefined
    return { ...turnOf(row), messages: rows.map(listedMessageOf) }
  }

  async closeExpiredTurns(limit: number): Promise<number> {
    const { rows } = await this.database.run<SessionKey>('repeatable', (sql) =>
      sql.raw(sessionsWithLateTurns(this.names), { limit }),
    )
    let closed = 0
    for (const session of rows) closed += await this.closeLate(session)
    return closed
  }

  claimSummary(session: SessionKey & { nonce: string; leaseMs: number }): Promise<SummaryClaim | undefined> {
    return claimSummary(this.database, this.names, session)
  }

  saveSummary(
    session: SessionKey & { nonce: string; to: number; text: string; tokens?: number },
  ): Promise<boolean> {
    return saveSummary(this.database, this.names, session)
  }

  holdLease(name: string, holder: string, leaseMs: number): Promise<boolean> {
    return this.purge.hold(name, holder, leaseMs)
  }

  releaseLease(name: string, holder: string): Promise<void> {
    return this.purge.release(name, holder)
  }

  listPurgeable(request: PurgeRequest): Promise<Purgeable> {
    return this.purge.list(request)
  }

  async purgeSession(session: SessionKey, retentionSeconds: number): Promise<PurgeStep> {
    checkSession(session)
    return await this.purge.purge(session, retentionSeconds)
  }

  async close(): Promise<void> {
    await this.database.close()
  }

  private table(sql: Knex, name: string): Knex.QueryBuilder {
    const query = sql(`${this.names.prefix}${name}`)
    return this.names.schema === undefined ? query : query.withSchema(this.names.schema)
  }

  /** The session, if it is this user's, active and not expired. */
  private sessions(sql: Knex, { userId, sessionId }: SessionKey): Knex.QueryBuilder {
    return this.table(sql, 'sessions')
      .where({ user_id: userId, id: sessionId, is_active: true })
      .where(unexpired)
  }

  private turns(sql: Knex, { userId, sessionId }: SessionKey): Knex.QueryBuilder {
    return this.table(sql, 'turns').where({ user_id: userId, session_id: sessionId })
  }

  /** The session's messages that were not cleared, each with its turn's status. */
  private messages(sql: Knex, session: SessionKey): Knex.QueryBuilder {
    const { prefix, schema } = this.names
    const query = schema === undefined ? sql.queryBuilder() : sql.withSchema(schema)
    return query
      .from(`${prefix}messages as m`)
      .join(`${prefix}turns as t`, {
        't.user_id': 'm.user_id',
        't.session_id': 'm.session_id',
        't.turn': 'm.turn',
      })
      .join(`${prefix}sessions as s`, { 's.user_id': 'm.user_id', 's.id': 'm.session_id' })
      .where({
        'm.user_id': session.userId,
        'm.session_id': session.sessionId,
        's.user_id': session.userId,
        's.id': session.sessionId,
        't.user_id': session.userId,
        't.session_id': session.sessionId,
        's.is_active': true,
      })
      .where('m.exchange', '>', sql.ref('s.cleared_at_turn'))
      .select(messageColumns)
  }

  private async turnRow(turn: SessionKey & { turn: number }): Promise<TurnRow | undefined> {
    checkSession(turn)
    if (!Number.isSafeInteger(turn.turn) || turn.turn < 1 || turn.turn > highestTurn) return undefined
    const { rows } = await this.database.run<TurnRow>('repeatable', (sql) =>
      this.turns(sql, turn)
        .where({ turn: turn.turn })
        .whereExists(this.sessions(sql, turn).select(sql.raw('1')).where('cleared_at_turn', '<', turn.turn)),
    )
    return rows[0]
  }

  /** Change the session's row so that every cache of its history is out of date. */
  private async touchSession(session: SessionKey, change: (sql: Knex) => object): Promise<boolean> {
    checkSession(session)
    const { rowCount } = await this.database.run('once', (sql) =>
      this.sessions(sql, session).update({
        ...change(sql),
        revision: randomUUID(),
        updated_at: sql.raw('clock_timestamp()'),
      }),
    )
    return rowCount === 1
  }

  /** Close the session's turns whose lease ran out, as a begin does: under its row's lock. */
  private closeLate(session: SessionKey): Promise<number> {
    return this.database.transaction(async (run) => {
      const { rows } = await run<{ oldest_open: number | null }>((sql) =>
        this.sessions(sql, session).forNoKeyUpdate().select('oldest_open'),
      )
      const oldest = rows[0]?.oldest_open
      if (oldest == null) return 0
      const { rowCount } = await run((sql) =>
        this.turns(sql, session)
          .where({ status: 'open' })
          .where('turn', '>=', oldest)
          .where('lease_until', '<=', sql.raw('clock_timestamp()'))
          .update({ status: 'interrupted', closed_at: sql.raw('clock_timestamp()') }),
      )
      const closed = rowCount ?? 0
      if (closed > 0) await run((sql) => this.sessions(sql, session).update({ revision: randomUUID() }))
      return closed
    })
  }
}

/** Whether the newest that the migrations make is there; no people's data. */
const functionsPresent = 'select to_regprocedure(?) is not null and to_regprocedure(?) is not null as present'

/** To the microsecond: a Date would lose what orders the list. */
const exactMoment = `to_char(activity_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

/** Sessions, of anybody, with an open turn whose lease ran out. */
const sessionsWithLateTurns = (names: Names): string => `
  select s.user_id as "userId", s.id as "sessionId" from ${names.sessions} s
  where s.oldest_open is not null and s.is_active and (s.expires_at is null or s.expires_at > now())
    and exists (
      select 1 from ${names.turns} t
      where t.user_id = s.user_id and t.session_id = s.id and t.turn >= s.oldest_open
        and t.status = 'open' and t.lease_until <= clock_timestamp())
  limit :limit::integer`

interface HistoryRow {
  readonly model: string | null
  readonly most: number
  readonly revision: string
  readonly exchange: number | null
  readonly history: string
}

/** The history at one moment, with the exchange that made the given calls. */
const historyNow = (names: Names): string => `
  select s.model, s.max_history_messages as most, s.revision, j.exchange,
    ${names.readHistory}(s.user_id, s.id, s.cleared_at_turn, s.system_exchange, s.system_turn,
      coalesce(:limit::integer, s.max_history_messages), j.exchange, j.turn, null, null) as history
  from ${names.sessions} s
  left join lateral (
    select t.exchange, t.turn from ${names.turns} t
    where t.user_id = s.user_id and t.session_id = s.id and t.turn > greatest(s.cleared_at_turn, s.turn_count - 200)
      and t.status = 'done' and t.calls && :calls::text[]
    order by t.turn desc limit 1
  ) j on true
  where s.user_id = :userId and s.id = :sessionId and s.is_active and (s.expires_at is null or s.expires_at > now())`

/** A user's counters; as doubles, which are exact up to 2^53 and arrive as numbers. */
const countersSum = `count(*)::double precision as sessions,
  coalesce(sum(message_count), 0)::double precision as messages,
  coalesce(sum(token_count), 0)::double precision as tokens,
  coalesce(sum(byte_count), 0)::double precision as bytes`

const unexpired = (where: Knex.QueryBuilder): void => {
  void where.whereNull('expires_at').orWhereRaw('expires_at > now()')
}

function expiry(sql: Knex, { ttlSeconds }: SessionFields): object {
  if (ttlSeconds === undefined) return {}
  if (ttlSeconds === null) return { expires_at: null }
  return { expires_at: sql.raw("now() + ? * interval '1 second'", [ttlSeconds]) }
}

function checkSession({ userId, sessionId }: SessionKey): void {
  if (!isStorableKey(userId, longestKeyBytes)) {
    throw new InvalidRequest('userId must be 1 to 255 bytes of well-formed text without NUL.', {
      param: 'userId',
    })
  }
  if (!isStorableKey(sessionId, longestKeyBytes)) {
    throw new InvalidRequest('session_id must be 1 to 255 bytes of well-formed text without NUL.', {
      param: 'session_id',
    })
  }
}

function checkNonce(nonce: string): void {
  if (!uuid.test(nonce)) throw new InvalidRequest('nonce must be a UUID.', { param: 'nonce' })
}

function checkFields({ maxHistoryMessages, ttlSeconds }: SessionFields): void {
  const most = maxHistoryMessages ?? 1
  if (!Number.isSafeInteger(most) || most < 1 || most > mostHistoryMessages) {
    throw new InvalidRequest(`max_history_messages must be 1 to ${mostHistoryMessages}.`, {
      param: 'max_history_messages',
    })
  }
  const ttl = ttlSeconds ?? 1
  if (!Number.isSafeInteger(ttl) || ttl < 1 || ttl > 2_147_483_647) {
    throw new InvalidRequest('ttl_seconds must be a positive whole number.', { param: 'ttl_seconds' })
  }
}

const cursorOf = (page: PageRequest): ['after' | 'before', string | undefined] =>
  page.before === undefined ? ['after', page.after] : ['before', page.before]

/** One row more than the page says that there are more; a page before a place was read backwards. */
function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  back: boolean,
  itemOf: (row: Row) => Item,
  placeOf: (row: Row) => readonly (string | number)[],
): Page<Item> {
  const kept = rows.slice(0, limit)
  if (back) kept.reverse()
  const edge = back ? kept[0] : kept.at(-1)
  return {
    data: kept.map(itemOf),
    hasMore: rows.length > limit,
    nextCursor: edge === undefined ? null : writeCursor(placeOf(edge)),
  }
}
