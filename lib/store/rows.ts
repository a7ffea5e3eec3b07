import { privateRevision } from '../model/history.js'
import { isShallow, type JsonObject } from '../model/json.js'
import {
  messageId,
  readableText,
  type HistoryMessage,
  type ListedMessage,
  type TurnStatus,
} from '../model/message.js'
import type { Receipt } from '../model/receipt.js'
import { hasUnstorable } from '../model/rule.js'
import type { Session, SessionFields } from '../model/session.js'
import type { TurnRecord } from '../model/turn.js'
import { assembleHistory, historyMessageOf } from './assembly.js'
import { unstorableFault } from './faults.js'
import type { LaneRow } from './lane.js'
import type { BeginCall, BeginResult, CompleteCall, CompleteResult, SessionSettings } from './store.js'

/*
 * Between our words and the tables' columns: snake case and the functions' argument names stand in this file alone.
 */

const everyUnstorable = /[\0\p{Surrogate}]/gu

/** Text as Postgres can hold it: NUL and lone surrogates become U+FFFD. */
export const storable = (text: string): string =>
  hasUnstorable(text) ? text.replace(everyUnstorable, '\uFFFD') : text

const storableOr = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : storable(text)

interface MessageFields {
  readonly role: string
  readonly content: string
  readonly message: string | null
  readonly tokens: number | null
}

/** Far more than anybody says, and far less than what overflows the stack of who reads it again. */
const deepestMessage = 1_000

/** The columns of a message. Its own JSON is kept when role and content do not say it all, exactly. Throws where it is nested too deeply. */
function messageFields({ message, tokens }: HistoryMessage): MessageFields {
  const { role, content } = message
  const plain =
    typeof content === 'string' &&
    Object.keys(message).length === 2 &&
    !hasUnstorable(role) &&
    !hasUnstorable(content)
  if (!plain && !isShallow(message, deepestMessage))
    throw new Error(`A message is nested deeper than ${deepestMessage} levels.`)
  return {
    role: storable(role),
    content: plain ? content : storable(readableText(content)),
    message: plain ? null : JSON.stringify(message),
    tokens: tokens ?? null,
  }
}

function createFields(fields: SessionFields): JsonObject {
  return {
    name: fields.name == null ? undefined : storable(fields.name),
    model: fields.model == null ? undefined : storable(fields.model),
    max: fields.maxHistoryMessages,
    metadata: fields.metadata === undefined ? undefined : JSON.stringify(fields.metadata),
    ttl: fields.ttlSeconds ?? undefined,
  }
}

/** JSON text; what cannot be written as such is the caller's fault, not the store's. */
function written(fields: () => JsonObject): string {
  try {
    return JSON.stringify(fields())
  } catch (error) {
    throw unstorableFault(error)
  }
}

/** The call as `begin_v1` reads it. */
export const beginArgument = (call: BeginCall): string =>
  written(() => ({
    user: call.userId,
    session: call.sessionId,
    nonce: call.nonce,
    key: call.key,
    hash: storableOr(call.requestHash),
    system: call.system.length === 0 ? undefined : call.system.map(messageFields),
    question: call.question.map(messageFields),
    answers: call.answers.length === 0 ? undefined : call.answers.map(storable),
    format: storable(call.format),
    model: storableOr(call.model),
    lease: call.leaseMs,
    limit: call.limit,
    revision: storableOr(call.cached?.revision),
    from: call.cached?.from,
    reach: call.cached?.reach,
    current: call.onlyIfCurrent,
    create: call.create === undefined ? undefined : createFields(call.create),
    concurrency: call.concurrency,
    replaces: call.replaces,
  }))

type BeginRow = readonly [
  status: BeginResult['status'],
  turn: number,
  exchange: number,
  parts: number,
  model: string | null,
  maxHistoryMessages: number,
  revision: string,
  history: string | null,
  replaces: number | null,
  waitsFor: number | null,
]

/** What `begin_v1` answered; `limit` is the call's own. */
export function beginResult(row: LaneRow, limit: number | undefined): BeginResult {
  const [status, turn, exchange, parts, model, maxHistoryMessages, revision, text, replaces, waitsFor] =
    row as unknown as BeginRow
  const settings: SessionSettings = { model, maxHistoryMessages }
  const historyAt = (at: string) => assembleHistory(text!, at, limit ?? maxHistoryMessages)
  if (status === 'stale') return { status, settings, history: historyAt(revision) }
  if (status === 'no_session' || status === 'orphaned' || status === 'nothing_to_replace') return { status }
  if (status !== 'begun') return { status, turn }
  return {
    status,
    turn,
    exchange,
    parts,
    settings,
    revision,
    ...(text === null ? {} : { history: historyAt(replaces === null ? revision : privateRevision) }),
    ...(replaces === null ? {} : { replaces }),
    ...(waitsFor === null ? {} : { waitsFor }),
  }
}

/** The call as `complete_v1` reads it. */
export const completeArgument = (call: CompleteCall): string =>
  written(() => ({
    user: call.userId,
    session: call.sessionId,
    turn: call.turn,
    nonce: call.nonce,
    ending: call.ending,
    keeps: call.keepQuestion,
    answer: call.answer.length === 0 ? undefined : call.answer.map(messageFields),
    calls: call.calls.length === 0 ? undefined : call.calls.map(storable),
    model: storableOr(call.model),
    id: storableOr(call.responseId),
    time: wholeOr(call.responseTime),
    finish: storableOr(call.finishReason),
    usage: call.usage === undefined ? undefined : JSON.stringify(call.usage),
    receipt: call.receipt === undefined ? undefined : JSON.stringify(call.receipt),
  }))

/** A provider may say any number; what is no time is left out. */
function wholeOr(time = Number.NaN): number | undefined {
  const whole = Math.trunc(time)
  return Number.isSafeInteger(whole) ? whole : undefined
}

type CompleteRow = readonly [
  status: CompleteResult['status'],
  as: TurnStatus | null,
  from: string,
  to: string,
]

/** What `complete_v1` answered. */
export function completeResult(row: LaneRow): CompleteResult {
  const [status, as, from, to] = row as unknown as CompleteRow
  if (status === 'completed') return { status, from, to }
  if (status === 'closed') return as === null ? { status } : { status, as }
  return { status }
}

/** A host may have told pg to leave dates or JSON as text. */
const dateOf = (value: Date | string): Date => new Date(value)
const dateOrNull = (value: Date | string | null): Date | null => (value === null ? null : dateOf(value))
const jsonOf = <Value>(value: Value | string): Value =>
  typeof value === 'string' ? (JSON.parse(value) as Value) : value

export interface SessionRow {
  readonly id: string
  readonly session_name: string | null
  readonly model: string | null
  readonly max_history_messages: number
  readonly message_count: number
  readonly metadata: JsonObject | string | null
  readonly ttl_seconds: number | null
  readonly created_at: Date | string
  readonly updated_at: Date | string
  readonly last_message_at: Date | string | null
  readonly expires_at: Date | string | null
  /** To the microsecond, for the cursor. */
  readonly activity?: string
}

export const sessionColumns = [
  'id',
  'session_name',
  'model',
  'max_history_messages',
  'message_count',
  'metadata',
  'ttl_seconds',
  'created_at',
  'updated_at',
  'last_message_at',
  'expires_at',
] as const

export const sessionOf = (row: SessionRow): Session => ({
  id: row.id,
  name: row.session_name,
  model: row.model,
  maxHistoryMessages: row.max_history_messages,
  messageCount: row.message_count,
  metadata: jsonOf(row.metadata ?? {}),
  ttlSeconds: row.ttl_seconds,
  createdAt: dateOf(row.created_at),
  updatedAt: dateOf(row.updated_at),
  lastMessageAt: dateOrNull(row.last_message_at),
  expiresAt: dateOrNull(row.expires_at),
})

const storableOrNull = (text: string | null): string | null => (text === null ? null : storable(text))

/** The columns of the fields that are given. */
export function sessionFields(fields: SessionFields): JsonObject {
  const { name, model, maxHistoryMessages, metadata, ttlSeconds } = fields
  return {
    ...(name === undefined ? {} : { session_name: storableOrNull(name) }),
    ...(model === undefined ? {} : { model: storableOrNull(model) }),
    ...(maxHistoryMessages === undefined ? {} : { max_history_messages: maxHistoryMessages }),
    ...(metadata === undefined ? {} : { metadata: JSON.stringify(metadata) }),
    ...(ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds }),
  }
}

export interface MessageRow {
  readonly exchange: number
  readonly turn: number
  readonly part: number
  readonly role: string
  readonly content: string
  readonly message: string | null
  readonly tokens: number | null
  readonly created_at: Date | string
  readonly status: TurnStatus
}

export const messageColumns = [
  'm.exchange',
  'm.turn',
  'm.part',
  'm.role',
  'm.content',
  'm.message',
  'm.tokens',
  'm.created_at',
  't.status',
] as const

export const listedMessageOf = (row: MessageRow): ListedMessage => ({
  id: messageId(row.turn, row.part),
  turn: row.turn,
  part: row.part,
  exchange: row.exchange,
  status: row.status,
  ...historyMessageOf(row.role, row.content, row.message, row.tokens),
  createdAt: dateOf(row.created_at),
})

export interface TurnRow {
  readonly turn: number
  readonly exchange: number
  readonly status: TurnStatus
  readonly format: string | null
  readonly model: string | null
  readonly response_id: string | null
  readonly response_time: number | string | null
  readonly finish_reason: string | null
  readonly usage: JsonObject | string | null
  readonly receipt: Receipt | string | null
  readonly created_at: Date | string
  readonly closed_at: Date | string | null
}

export const turnOf = (row: TurnRow): TurnRecord => ({
  turn: row.turn,
  exchange: row.exchange,
  status: row.status,
  format: row.format,
  model: row.model,
  responseId: row.response_id,
  responseTime: row.response_time === null ? null : Number(row.response_time),
  finishReason: row.finish_reason,
  usage: row.usage === null ? null : jsonOf(row.usage),
  receipt: row.receipt === null ? null : jsonOf(row.receipt),
  createdAt: dateOf(row.created_at),
  closedAt: dateOrNull(row.closed_at),
})
