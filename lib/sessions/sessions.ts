import { InvalidRequest, MessageNotFound, SessionExists } from '../model/errors.js'
import { checkSessionId, checkUserId, newSessionId } from '../model/identity.js'
import { isObject, type JsonObject } from '../model/json.js'
import { readMessageId } from '../model/message.js'
import type { Page } from '../model/page.js'
import { anything, checkFields, integer, nullable, show, text, type Rule } from '../model/rule.js'
import type { Session, SessionFields, SessionKey, Stats } from '../model/session.js'
import type { Store } from '../store/store.js'
import { jsonFault } from './json-fault.js'
import {
  longestName,
  longestTtlSeconds,
  mostHistoryMessages,
  sessionBounds,
  type SessionBounds,
  type SessionLimits,
} from './limits.js'
import { invalid, sessionKey } from './input.js'
import { pageRequest, pageRules } from './paging.js'

/** Your user's id: text of 1 to 255 bytes of UTF-8 without NUL. Whole numbers other than 0 become text: 7 and "7" are one user. */
export type UserId = string | number

/** Whose session, and which: `id` is 1 to 128 of the characters A-Z a-z 0-9 . _ ~ - */
export interface SessionName {
  readonly userId: UserId
  readonly id: string
}

export interface CreateSession extends SessionFields {
  readonly userId: UserId
  /** An id of your own; a random one when absent. */
  readonly id?: string
}

export interface ChangeSession extends SessionName, SessionFields {}

export interface ListSessions {
  readonly userId: UserId
  /** Sessions of a page, 1 to 100. Default 50. */
  readonly limit?: number
  /** Sessions to skip, at most 1,000; beyond that go on with `after`. */
  readonly offset?: number
  /** The `nextCursor` of an earlier page. */
  readonly after?: string
}

export interface ForkSession extends SessionName {
  /** The id of the last message to take along, with all of its turn; everything when absent. */
  readonly until?: string
  /** The new session's name; that of the one it comes from when absent. */
  readonly name?: string
}

/**
 * A user's sessions, in process. Every method throws `InvalidRequest` for a wrong or unknown argument, and
 * `HistoryUnavailable` when the store does not answer. Unknown, foreign, deleted and expired sessions look the same.
 */
export interface Sessions {
  /** Throws `SessionExists` when this user has used the id before. */
  create(session: CreateSession): Promise<Session>
  find(session: SessionName): Promise<Session | undefined>
  /** Newest activity first. */
  list(page: ListSessions): Promise<Page<Session>>
  /** How much there is of a user's: sessions, messages, tokens, bytes. From counters, so no message is read. */
  stats(user: { readonly userId: UserId }): Promise<Stats>
  /** The fields given change, the others stay. `undefined` when there is no such session. */
  change(session: ChangeSession): Promise<Session | undefined>
  /** Soft: nothing finds it again. False when there is no such session, so a repeated call is false. */
  delete(session: SessionName): Promise<boolean>
  /** Everything said so far leaves the history and the listings. False when there is no such session. */
  clear(session: SessionName): Promise<boolean>
  /** Bring a deleted session back as it was, until it is purged. `undefined` when there is none, or it has expired. */
  restore(session: SessionName): Promise<Session | undefined>
  /**
   * Copy what is listed into a new session, up to and with the turn of a message. Numbers and message ids stay the same;
   * idempotency keys do not come along. Throws `MessageNotFound`. `undefined` when there is no such session.
   */
  fork(session: ForkSession): Promise<Session | undefined>
}

/** What a new session has where its creator says nothing; the store's own defaults where these say nothing either. */
export type SessionDefaults = Pick<SessionFields, 'maxHistoryMessages' | 'ttlSeconds'>

/** The sessions of a store, every argument checked. */
export function createSessions(
  store: Store,
  limits?: SessionLimits,
  defaults: SessionDefaults = {},
): Sessions {
  const bounds = sessionBounds(limits)
  const fields = fieldRules(bounds)
  const nameOf = (given: SessionName): SessionKey => {
    checkFields(given, { userId: anything, id: anything }, invalid)
    return sessionKey(given.userId, given.id)
  }

  return {
    async create(given) {
      checkFields(given, { userId: anything, id: anything, ...fields }, invalid)
      const userId = checkUserId(given.userId)
      const sessionId = given.id === undefined ? newSessionId() : checkOwnId(given.id)
      const asked = { ...defaults, ...fieldsOf(given, bounds) }
      const session = await store.createSession({ userId, sessionId, ...asked })
      if (session === undefined) throw new SessionExists()
      return session
    },

    async find(given) {
      return await store.findSession(nameOf(given))
    },

    async list(given) {
      checkFields(given, { userId: anything, ...pageRules(bounds, ['limit', 'offset', 'after']) }, invalid)
      return await store.listSessions(checkUserId(given.userId), pageRequest(given, bounds))
    },

    async stats(given) {
      checkFields(given, { userId: anything }, invalid)
      return await store.stats(checkUserId(given.userId))
    },

    async change(given) {
      checkFields(given, { userId: anything, id: anything, ...fields }, invalid)
      return await store.changeSession({ ...sessionKey(given.userId, given.id), ...fieldsOf(given, bounds) })
    },

    async delete(given) {
      return await store.deleteSession(nameOf(given))
    },

    async clear(given) {
      return await store.clearSession(nameOf(given))
    },

    async restore(given) {
      return await store.restoreSession(nameOf(given))
    },

    async fork(given) {
      checkFields(given, { userId: anything, id: anything, until: anything, name: fields.name }, invalid)
      return await forkOf(store, given)
    },
  }
}

async function forkOf(store: Store, given: ForkSession): Promise<Session | undefined> {
  const { name, until } = given
  const place = until === undefined ? undefined : readMessageId(until)
  if (until !== undefined && !place) throw new MessageNotFound(undefined, 'until')
  const session = await store.forkSession({
    ...sessionKey(given.userId, given.id),
    to: newSessionId(),
    name,
    until: place,
  })
  if (session === 'no_message') throw new MessageNotFound(undefined, 'until')
  if (session === 'taken') throw new SessionExists()
  return session
}

/** Ids that the pattern allows and that could not be used: a path loses dots, and "new" creates a session. */
const unusableIds: ReadonlySet<string> = new Set(['.', '..', 'new'])

function checkOwnId(given: unknown): string {
  const id = checkSessionId(given)
  if (!unusableIds.has(id)) return id
  throw new InvalidRequest(`session_id must not be ${show(id)}: it has a meaning of its own in requests.`, {
    param: 'session_id',
  })
}

const fieldRules = (bounds: SessionBounds): Record<keyof SessionFields, Rule> => ({
  name: nullable(text(longestName)),
  model: nullable(text(longestName)),
  maxHistoryMessages: integer(1, mostHistoryMessages),
  metadata: { must: `a JSON object of at most ${bounds.maxMetadataBytes} bytes`, holds: isObject },
  ttlSeconds: nullable(integer(1, longestTtlSeconds)),
})

/** The fields that were given, without those that are `undefined`: those stay as they are. */
function fieldsOf(given: SessionFields, bounds: SessionBounds): SessionFields {
  const { name, model, maxHistoryMessages, metadata, ttlSeconds } = given
  return {
    ...(name !== undefined && { name }),
    ...(model !== undefined && { model }),
    ...(maxHistoryMessages !== undefined && { maxHistoryMessages }),
    ...(metadata !== undefined && { metadata: checkMetadata(metadata, bounds) }),
    ...(ttlSeconds !== undefined && { ttlSeconds }),
  }
}

function checkMetadata(metadata: JsonObject, bounds: SessionBounds): JsonObject {
  const fault = jsonFault(metadata, 'metadata', { deepest: bounds.maxMetadataDepth, anyText: false })
  if (fault !== undefined) throw new InvalidRequest(fault, { param: 'metadata' })
  const bytes = Buffer.byteLength(JSON.stringify(metadata))
  if (bytes <= bounds.maxMetadataBytes) return metadata
  throw new InvalidRequest(
    `metadata must be at most ${bounds.maxMetadataBytes} bytes as JSON, got ${bytes}. Keep large data elsewhere and its id here.`,
    { param: 'metadata' },
  )
}
