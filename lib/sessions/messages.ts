import { randomUUID } from 'node:crypto'

import { InvalidRequest, MessageNotFound, TurnlogError } from '../model/errors.js'
import { isObject } from '../model/json.js'
import { readMessageId, type HistoryMessage, type ListedMessage, type Message } from '../model/message.js'
import type { Page } from '../model/page.js'
import { anything, checkFields, mustBe, nearest, oneOf, show } from '../model/rule.js'
import type { SessionKey } from '../model/session.js'
import type { Store } from '../store/store.js'
import type { Format } from '../wire/format.js'
import { invalid, sessionKey } from './input.js'
import { jsonFault } from './json-fault.js'
import { sessionBounds, type SessionLimits } from './limits.js'
import { pageRequest, pageRules } from './paging.js'
import type { UserId } from './sessions.js'
import { openCalls, readTranscript, strayResult, type TranscriptTurn } from './transcript.js'

export interface ListMessages {
  readonly userId: UserId
  readonly sessionId: string
  /** Messages of a page, 1 to 100. Default 50. */
  readonly limit?: number
  /** Messages to skip, at most 1,000; beyond that go on with `after`. */
  readonly offset?: number
  /** The `nextCursor` of an earlier page: the page that follows it. */
  readonly after?: string
  /** A cursor: the page that ends just before it; its own `nextCursor` goes further back. */
  readonly before?: string
  /** `asc` is the prompt's order, the default. */
  readonly order?: 'asc' | 'desc'
  /** `superseded`: answers that were asked for again, and attempts that were repeated, are listed too. */
  readonly include?: 'superseded'
}

export interface DeleteMessage {
  readonly userId: UserId
  readonly sessionId: string
  /** The message's id, as it is listed. */
  readonly message: string
}

export interface AppendMessages {
  readonly userId: UserId
  readonly sessionId: string
  /** 1 to 1,000 messages in the provider's format, in order. */
  readonly messages: readonly Message[]
}

/** The numbers of the turns that were stored. */
export interface Appended {
  readonly turns: readonly number[]
}

/** A session's messages, in process. Arguments are checked as in `Sessions`. */
export interface Messages {
  /** In the prompt's order; superseded answers are left out. `undefined` when the user has no such session. */
  list(page: ListMessages): Promise<Page<ListedMessage> | undefined>
  /**
   * Store messages that no request brought: a greeting, an import. Each user's message opens a turn and what follows is its
   * answer, stored as done; leading system messages are pinned. Each turn is one commit: when a later one fails, the earlier
   * ones stay. `undefined` when the user has no such session.
   */
  append(given: AppendMessages): Promise<Appended | undefined>
  /**
   * Delete a message with its exchange: the user's question and everything that followed from it, superseded answers included. A pinned
   * message goes alone. The rows are gone, and a late answer is refused. Throws `MessageNotFound`. False when there is no such session.
   */
  delete(given: DeleteMessage): Promise<boolean>
}

/** What `append` needs of the format in which messages are given: its name is stored with the turn. */
export type MessageFormat = Pick<Format, 'name' | 'calls' | 'answers'>

/** An appended turn is open between two calls; a process that dies there leaves it to be closed after this time. */
const leaseMs = 10_000

/** The messages of a store, every argument checked. */
export function createMessages(store: Store, format: MessageFormat, limits?: SessionLimits): Messages {
  const bounds = sessionBounds(limits)
  const pages = pageRules(bounds, ['limit', 'offset', 'after', 'before', 'order'])
  return {
    async list(given) {
      const include = oneOf('superseded')
      checkFields(given, { userId: anything, sessionId: anything, include, ...pages }, invalid)
      const session = sessionKey(given.userId, given.sessionId)
      const asked = { ...session, ...(given.include === 'superseded' && { superseded: true }) }
      return await store.listMessages(asked, pageRequest(given, bounds))
    },

    async append(given) {
      checkFields(given, { userId: anything, sessionId: anything, messages: anything }, invalid)
      const session = sessionKey(given.userId, given.sessionId)
      const { system, turns } = readTranscript(
        checkMessages(given.messages, bounds.maxAppendMessages),
        format,
      )
      for (const turn of turns) checkResults(turn, format)
      const numbers: number[] = []
      for (const turn of turns) {
        const number = await storeTurn(store, format, session, numbers.length === 0 ? system : [], turn)
        if (number === undefined) return undefined
        numbers.push(number)
      }
      return { turns: numbers }
    },

    async delete(given) {
      checkFields(given, { userId: anything, sessionId: anything, message: anything }, invalid)
      const session = sessionKey(given.userId, given.sessionId)
      const place = readMessageId(given.message)
      const deleted = place
        ? await store.deleteMessage({ ...session, ...place })
        : (await store.findSession(session)) && false
      if (deleted === false) throw new MessageNotFound()
      return deleted ?? false
    },
  }
}

const asHistory = (messages: readonly Message[]): HistoryMessage[] => messages.map((message) => ({ message }))

async function storeTurn(
  store: Store,
  format: MessageFormat,
  session: SessionKey,
  system: readonly Message[],
  turn: TranscriptTurn,
): Promise<number | undefined> {
  const nonce = randomUUID()
  const begun = await store.beginTurn({
    ...session,
    nonce,
    system: asHistory(system),
    question: asHistory(turn.question),
    answers: turn.question.flatMap((message) => format.answers(message)),
    format: format.name,
    leaseMs,
    limit: 1,
  })
  if (begun.status === 'no_session') return undefined
  if (begun.status === 'orphaned') throw strayError()
  if (begun.status !== 'begun') throw new Error(`Appending began a turn with the status ${begun.status}.`)

  const completed = await store.completeTurn({
    ...session,
    nonce,
    turn: begun.turn,
    ending: 'done',
    answer: asHistory(turn.answer),
    calls: openCalls(turn, format),
  })
  if (completed.status === 'no_session') return undefined
  if (completed.status === 'completed' || completed.status === 'repeated') return begun.turn
  throw new TurnlogError(
    'append_refused',
    409,
    'The session was cleared meanwhile. Append the messages again.',
  )
}

const strayError = (id?: string): InvalidRequest =>
  new InvalidRequest(
    `messages hold the result of a tool call${id === undefined ? '' : ` (${show(id)})`} that no message of its exchange makes. ` +
      'Append the assistant message with the call before it.',
    { param: 'messages' },
  )

function checkResults(turn: TranscriptTurn, format: MessageFormat): void {
  const stray = strayResult(turn, format)
  if (stray !== undefined) throw strayError(stray)
}

const roles = ['system', 'developer', 'user', 'assistant', 'tool', 'function']

/** Levels that a message may nest: tool schemas within arguments are the deepest seen. */
const deepestMessage = 64

function checkMessages(given: unknown, most: number): readonly Message[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > most) {
    const got = Array.isArray(given) ? `${given.length}` : show(given)
    throw invalid(`messages must be an array of 1 to ${most} messages, got ${got}.`, 'messages')
  }
  return given.map((message: unknown, index) => checkMessage(message, `messages[${index}]`))
}

function checkMessage(given: unknown, path: string): Message {
  if (!isObject(given)) throw invalid(mustBe(path, 'an object with role and content', given), path)
  const { role } = given
  if (typeof role !== 'string' || !roles.includes(role)) {
    const meant = typeof role === 'string' ? nearest(role, roles) : undefined
    const repair = meant === undefined ? '' : ` Did you mean ${show(meant)}?`
    throw invalid(mustBe(`${path}.role`, `one of ${roles.join(', ')}`, role) + repair, `${path}.role`)
  }
  const fault = jsonFault(given, path, { deepest: deepestMessage, anyText: true })
  if (fault !== undefined) throw invalid(fault, path)
  return given as Message
}
