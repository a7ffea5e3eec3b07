import type { Preview } from '../completion/preview.js'
import type { ListedMessage } from '../model/message.js'
import type { Page } from '../model/page.js'
import type { Receipt } from '../model/receipt.js'
import type { Session, SessionFields } from '../model/session.js'
import type { TurnRecord } from '../model/turn.js'

// Snake case and ISO times are made here and nowhere else.

const time = (date: Date): string => date.toISOString()
const timeOrNull = (date: Date | null): string | null => (date === null ? null : time(date))

export const sessionJson = (session: Session) => ({
  session_id: session.id,
  session_name: session.name,
  model: session.model,
  max_history_messages: session.maxHistoryMessages,
  message_count: session.messageCount,
  metadata: session.metadata,
  ttl_seconds: session.ttlSeconds,
  created_at: time(session.createdAt),
  updated_at: time(session.updatedAt),
  last_message_at: timeOrNull(session.lastMessageAt),
  expires_at: timeOrNull(session.expiresAt),
})

/** The fields of a checked body, by their names in process. */
export const sessionFields = (body: SessionBody): SessionFields => ({
  name: body.session_name,
  model: body.model,
  maxHistoryMessages: body.max_history_messages,
  metadata: body.metadata,
  ttlSeconds: body.ttl_seconds,
})

/** What a body may hold when a session is created or changed. */
export interface SessionBody {
  readonly session_id?: string
  readonly session_name?: string | null
  readonly model?: string | null
  readonly max_history_messages?: number
  readonly metadata?: { readonly [field: string]: unknown }
  readonly ttl_seconds?: number | null
}

/**
 * A message with its place. The message's own fields stand beside ours, as they were parsed: content may be text, parts,
 * null or absent. Where one is named like one of ours, ours stands and the whole message is repeated under `message`;
 * so nothing is lost: the message is `message` where that is there, and else all that is not ours.
 */
export function messageJson({ id, turn, message, tokens, status, createdAt }: ListedMessage) {
  const place = { id, turn }
  const state = { tokens: tokens ?? null, status, created_at: time(createdAt) }
  const hidden = ownNames.some((name) => Object.hasOwn(message, name))
  // Spread, never assignment: a field may be named __proto__. `place` comes first for the reader, and again to stand.
  return { ...place, ...message, ...place, ...state, ...(hidden && { message }) }
}

/** Our names beside role and content, which are the message's own. */
const ownNames = ['id', 'turn', 'tokens', 'status', 'created_at', 'message']

export const turnJson = (turn: TurnRecord) => ({
  turn: turn.turn,
  status: turn.status,
  format: turn.format,
  model: turn.model,
  response_id: turn.responseId,
  finish_reason: turn.finishReason,
  usage: turn.usage,
  receipt: turn.receipt === null ? null : receiptJson(turn.receipt),
  created_at: time(turn.createdAt),
  closed_at: timeOrNull(turn.closedAt),
})

export const receiptJson = (receipt: Receipt) => ({
  injected: receipt.injected,
  dropped: receipt.dropped,
  tokens: receipt.tokens ?? null,
  source: receipt.source,
  trimmed_by: receipt.trimmedBy ?? null,
  choices_not_stored: receipt.choicesNotStored ?? 0,
  repaired: receipt.repaired ?? [],
  reconciled: receipt.reconciled ?? 0,
  summarized: receipt.summarized ?? null,
  degraded: receipt.degraded ?? null,
})

/** What a completion would send: the provider's request body, and why it looks as it does. */
export const contextJson = ({ body, receipt }: Preview) => ({
  object: 'context',
  body,
  receipt: receiptJson(receipt),
})

export const pageJson = <Item>(page: Page<Item>, itemJson: (item: Item) => object) => ({
  object: 'list',
  data: page.data.map(itemJson),
  has_more: page.hasMore,
  next_cursor: page.nextCursor,
})
