import type { History, HistoryTurn } from '../model/history.js'
import type { JsonObject } from '../model/json.js'
import type { HistoryMessage, ListedMessage, MessagePlace, TurnStatus } from '../model/message.js'
import type { Page, PageRequest } from '../model/page.js'
import type { Receipt } from '../model/receipt.js'
import type { Session, SessionFields, SessionKey, Stats } from '../model/session.js'
import type { FinishedTurn, TurnRecord } from '../model/turn.js'

export interface BeginCall extends SessionKey {
  /** A fresh random UUID: names this begin and the owner of its turn. A repeated call with the same nonce finds the turn it began. */
  readonly nonce: string
  /** The client's idempotency key, at most 255 bytes of UTF-8 without NUL. */
  readonly key?: string
  /** Fingerprint of the request, compared when the key is known already. */
  readonly requestHash?: string
  /** Leading system and developer messages: pinned from now on, unless they equal the pinned ones. */
  readonly system: readonly HistoryMessage[]
  /** The request's other new messages. */
  readonly question: readonly HistoryMessage[]
  /** Ids of the tool calls that the question answers and that it does not bring itself; the turn joins their exchange. */
  readonly answers: readonly string[]
  readonly format: string
  readonly model?: string
  /** How long the turn may stay open without being renewed, in milliseconds. */
  readonly leaseMs: number
  /** Messages of history wanted; the session's own `maxHistoryMessages` when absent. */
  readonly limit?: number
  /** The history that a cache holds; when it is current and reaches far enough, no history is returned. */
  readonly cached?: Pick<History, 'revision' | 'from' | 'reach'>
  /** The request may be a resent history: when the cached revision is not the current one, write nothing and return `stale`. */
  readonly onlyIfCurrent?: boolean
  /** Create the session when there is none. */
  readonly create?: SessionFields
  /** `reject`: `busy` while another turn is open. `enqueue`: numbered at once, and no history while a lower turn is open. */
  readonly concurrency?: 'allow' | 'reject' | 'enqueue'
  /**
   * What is left out of the history and superseded when this turn completes. `last`: the newest visible turn. A number:
   * the exchange of that turn and all that follows it, as far as it was asked before this one.
   */
  readonly replaces?: 'last' | number
}

/** What a begun turn needs to know of its session. */
export interface SessionSettings {
  readonly model: string | null
  readonly maxHistoryMessages: number
}

export interface Begun {
  readonly status: 'begun'
  readonly turn: number
  readonly exchange: number
  /** How many messages of the question were stored: the answer's first part. */
  readonly parts: number
  readonly settings: SessionSettings
  readonly revision: string
  /** Absent when the cached one is current and long enough, or while an enqueued turn waits. */
  readonly history?: History
  /** The turn that this one supersedes when it completes. */
  readonly replaces?: number
  /** An enqueued turn: the lowest turn that is still open before it. */
  readonly waitsFor?: number
}

/** A stretch of all sessions, for a sweep. */
export interface PurgeRequest {
  /** How long ago a session must have been deleted or have expired. */
  readonly retentionSeconds: number
  /** Where the stretch before ended. */
  readonly after?: SessionKey
  /** Sessions to look at. */
  readonly limit: number
}

export interface Purgeable {
  readonly sessions: readonly SessionKey[]
  /** Where the stretch ended; absent when there are no more sessions. */
  readonly next?: SessionKey
}

export type BeginResult =
  | Begun
  /** Unknown, foreign, deleted and expired look the same. */
  | { readonly status: 'no_session' }
  /** `concurrency: 'reject'` and another turn is open. */
  | { readonly status: 'busy'; readonly turn: number }
  /** The key's turn is still open. */
  | { readonly status: 'running'; readonly turn: number }
  /** The key's turn is done: its answer is to be replayed. */
  | { readonly status: 'finished'; readonly turn: number }
  /** The key was used with another request. */
  | { readonly status: 'mismatch'; readonly turn: number }
  /** `onlyIfCurrent`: nothing was written; here is the history. */
  | { readonly status: 'stale'; readonly settings: SessionSettings; readonly history: History }
  /** The question answers tool calls that no visible turn of the session made. */
  | { readonly status: 'orphaned' }
  /** `replaces: 'last'` and there is no visible turn, or the one to replace is gone. */
  | { readonly status: 'nothing_to_replace' }

/** How a turn ended. `discarded`: as if it had not been asked. */
export type Ending = 'done' | 'interrupted' | 'failed' | 'discarded'

export interface CompleteCall extends SessionKey {
  readonly turn: number
  readonly nonce: string
  readonly ending: Ending
  /** The answer's messages; none for a turn that failed. */
  readonly answer: readonly HistoryMessage[]
  /** Ids of the tool calls that the answer waits for. */
  readonly calls: readonly string[]
  /** The question of a turn that failed stays in the history, as one that broke off. */
  readonly keepQuestion?: boolean
  readonly model?: string
  readonly responseId?: string
  /** Seconds since 1970, as the provider says. */
  readonly responseTime?: number
  readonly finishReason?: string
  readonly usage?: JsonObject
  readonly receipt?: Receipt
}

export type CompleteResult =
  /** The session's history moved from one revision to the next; `from` names the one just before. */
  | { readonly status: 'completed'; readonly from: string; readonly to: string }
  /** The same completion had been committed before; nothing was written again. */
  | { readonly status: 'repeated' }
  /** Somebody else closed the turn, or it was deleted: the answer is refused. */
  | { readonly status: 'closed'; readonly as?: TurnStatus }
  /** The history was cleared after the turn began: the answer is refused. */
  | { readonly status: 'cleared' }
  /** The session was deleted or has expired: the answer is refused. */
  | { readonly status: 'no_session' }

/** What is to be summarized. */
export interface SummaryClaim {
  /** The present summary's text. */
  readonly previous?: string
  readonly turns: readonly HistoryTurn[]
}

/**
 * The durable store. Rejections are faults of the store alone (`HistoryUnavailable` once its deadlines and
 * retries are used up); everything that is normal is a result. Unknown, foreign, deleted and expired sessions look the same.
 */
/** How far the purge of a session has come. */
export type PurgeStep = 'purged' | 'more' | 'kept'

export interface Store {
  /** Resolves when the store answers; the embedded database migrates itself here. Repeated calls are cheap. */
  ready(): Promise<void>

  /**
   * Store the question and number the turn, in one commit, and read the history that the cache does not have.
   * Repeated with the same nonce it finds the turn it began. Turns whose lease ran out are closed as `interrupted` first.
   */
  beginTurn(call: BeginCall): Promise<BeginResult>

  /** Close a turn with its answer, once. Repeated by its owner it is `repeated`. A turn that its lease closed can still be completed by its owner. */
  completeTurn(call: CompleteCall): Promise<CompleteResult>

  /** Push the lease of an open turn on to `leaseMs` from now. False when the turn is no longer open. */
  renewLease(turn: SessionKey & { turn: number; nonce: string; leaseMs: number }): Promise<boolean>

  /** The lowest turn below this one that is still open; expired leases are closed first. For enqueued turns. */
  openBefore(turn: SessionKey & { turn: number }): Promise<number | undefined>

  /** The history as a begin would read it, for a dry run or an enqueued turn. `undefined` when there is no such session. */
  readHistory(
    session: SessionKey & { limit?: number; joins?: readonly string[] },
  ): Promise<{ settings: SessionSettings; history: History; exchange?: number } | undefined>

  /** Create a session. `undefined` when the id is taken: by this user's live, deleted or expired session. */
  createSession(session: SessionKey & SessionFields): Promise<Session | undefined>
  findSession(session: SessionKey): Promise<Session | undefined>
  /** Newest activity first. */
  listSessions(userId: string, page: PageRequest): Promise<Page<Session>>
  /** From the sessions' counters; no message is read. All 0 for a user without sessions. */
  stats(userId: string): Promise<Stats>
  /** The fields given change, the others stay. */
  changeSession(session: SessionKey & SessionFields): Promise<Session | undefined>
  /** Soft: the rows stay, nothing finds them again. False when there is no such session. */
  deleteSession(session: SessionKey): Promise<boolean>
  /** Everything said so far leaves the history and the listings; running turns are refused. False when there is no such session. */
  clearSession(session: SessionKey): Promise<boolean>

  /** A deleted session is there again, as it was; its revision moves, and its turns that were open are interrupted: late answers are refused. One that is not deleted stays as it is. `undefined` when there is none, or it has expired. */
  restoreSession(session: SessionKey): Promise<Session | undefined>
  /**
   * Copy what is listed, up to and with the turn of a message, into a new session, in one commit. Numbers stay; keys do not come along.
   * `taken`: the new id is. `no_message`: there is none, or it is superseded or still being answered. `undefined` when there is no such session.
   */
  forkSession(
    fork: SessionKey & { to: string; name?: string; until?: MessagePlace },
  ): Promise<Session | 'taken' | 'no_message' | undefined>
  /**
   * Delete a message with its exchange, and what that superseded: the rows are gone, and a late answer to them is refused. A pinned
   * message goes alone. False when there is no such message; `undefined` when there is no such session.
   */
  deleteMessage(message: SessionKey & MessagePlace): Promise<boolean | undefined>

  /** In the prompt's order. Superseded turns are left out unless asked for. `undefined` when there is no such session. */
  listMessages(
    session: SessionKey & { superseded?: boolean },
    page: PageRequest,
  ): Promise<Page<ListedMessage> | undefined>
  findTurn(session: SessionKey & { turn: number }): Promise<TurnRecord | undefined>
  /** A turn with its messages, for a replay. */
  findFinishedTurn(session: SessionKey & { turn: number }): Promise<FinishedTurn | undefined>

  /**
   * Close turns of anybody's sessions whose lease ran out, as a begin does, in at most this many sessions. Resolves to how many
   * turns were closed. For a sweeper: any process may call it at any time, also several at once.
   */
  closeExpiredTurns(limit: number): Promise<number>

  /**
   * What a new summary would cover, oldest first: the visible turns behind the present one, up to whatever is still open,
   * at most two thousand messages of them. Nobody else gets them for `leaseMs`. `undefined` when somebody has them, or there is no such session.
   */
  claimSummary(session: SessionKey & { nonce: string; leaseMs: number }): Promise<SummaryClaim | undefined>
  /** Let a text stand for every exchange up to `to`; the revision moves. False when the claim is no longer the caller's: some of what it covers may have left the history. */
  saveSummary(
    session: SessionKey & { nonce: string; to: number; text: string; tokens?: number },
  ): Promise<boolean>

  /**
   * Take a lease of this name, or renew one's own. False while another holder has it. The database's clock decides; a lease
   * that was not renewed is free after `leaseMs`.
   */
  holdLease(name: string, holder: string, leaseMs: number): Promise<boolean>
  /** Give a lease back. Nothing happens when it is another's. */
  releaseLease(name: string, holder: string): Promise<void>
  /** The sessions of a stretch, anybody's, that were deleted or have expired so long ago. */
  listPurgeable(request: PurgeRequest): Promise<Purgeable>
  /**
   * Delete the next rows of such a session, from the first call on beyond any restore: `more` until it is `purged`, when its id
   * may be used again. `kept` when it is none (any more).
   */
  purgeSession(session: SessionKey, retentionSeconds: number): Promise<PurgeStep>

  /** End the connections that are the store's own; those of the host stay open. */
  close(): Promise<void>
}
