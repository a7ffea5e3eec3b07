import { InvalidRequest } from '../model/errors.js'
import type { History } from '../model/history.js'
import type { Message } from '../model/message.js'
import { canonical, findResent } from '../window/resent.js'
import type { Question } from '../wire/format.js'
import { adoptHistory } from './adopt.js'
import type { Asked } from './asked.js'
import { noHistory } from './visible.js'

export interface ReconcileOptions {
  /** What becomes of a resent history that parts from the stored one: `append` what follows, `reject` the request, or `replace` the stored rest. */
  readonly onDiverge: 'append' | 'reject' | 'replace'
  /** Roles that a client's new messages may have; every role when absent. */
  readonly acceptRoles?: readonly string[]
}

/** What of a request is new. */
export interface Reconciled {
  readonly messages: readonly Message[]
  /** Leading messages that are stored already. */
  readonly known: number
  /** The exchange, by its first turn, that the new messages replace, with all that follows it; or the last turn alone. */
  readonly replaces?: number | 'last'
}

/** The last question, to be asked again: what was sent before the answer that is to be replaced. */
function askAgain({ turns }: History): Reconciled {
  const messages = (turns.at(-1)?.messages ?? []).map(({ message }) => message)
  const answer = messages.findIndex(({ role }) => role === 'assistant')
  const question = answer < 0 ? messages : messages.slice(0, answer)
  if (question.length > 0) return { messages: question, known: 0, replaces: 'last' }
  throw new InvalidRequest(
    'regenerate finds no question to ask again in this session. Send it with messages.',
    {
      param: 'regenerate',
    },
  )
}

/** Whether a question must be held against the stored history: it may bring some of it again, or what a client may not add. */
const needsHistory = ({ messages, system }: Question, { acceptRoles }: ReconcileOptions): boolean =>
  messages.some(({ role }) => role === 'assistant') ||
  (acceptRoles !== undefined && [...system, ...messages].some(({ role }) => !acceptRoles.includes(role)))

/** What of a request is new, where this much is known of the history. */
export function reconcileAsked(
  { question, request, regenerate, format }: Asked,
  known: History | undefined,
  options: ReconcileOptions,
): Reconciled {
  const own = (history: History): History => adoptHistory(history, format).history
  const whole = { messages: question.messages, known: 0, ...(regenerate && { replaces: 'last' as const }) }
  if (regenerate && question.messages.length === 0) return known ? askAgain(own(known)) : whole
  if (regenerate) return { ...reconcile(question, noHistory, options), replaces: 'last' }
  if (!needsHistory(question, options)) return whole
  if (request.sessionId === 'new') return reconcile(question, noHistory, options)
  // Asked with nothing known, the store answers with the history.
  return known ? reconcile(question, own(known), options) : whole
}

/** Whether a request must be held against the stored history. */
export function needsKnown({ question, regenerate }: Asked, options: ReconcileOptions): boolean {
  return regenerate ? question.messages.length === 0 : needsHistory(question, options)
}

/** Leave out what the client sends again. Throws `InvalidRequest` for what it may not send. */
function reconcile(question: Question, history: History, options: ReconcileOptions): Reconciled {
  const reconciled = findNew(question.messages, history, options)
  if (options.acceptRoles) checkRoles(question, history, reconciled, options.acceptRoles)
  return reconciled
}

function findNew(messages: readonly Message[], history: History, options: ReconcileOptions): Reconciled {
  const resent = findResent(withOlder(history), messages)
  if (resent.status === 'new') return { messages, known: 0 }
  if (resent.status === 'diverged') return parted(messages, history, resent, options)
  if (resent.from < messages.length) return { messages: messages.slice(resent.from), known: resent.from }
  throw new InvalidRequest('messages ends with an answer that is stored already. Add what is asked next.', {
    param: 'messages',
  })
}

/** What a summary stands for is older than the turns at hand. */
function withOlder(history: History): History {
  const to = history.system.find(({ summarizes }) => summarizes !== undefined)?.summarizes
  return to === undefined ? history : { ...history, from: Math.max(history.from, to + 1) }
}

function parted(
  messages: readonly Message[],
  history: History,
  { at, turn }: { readonly at: number; readonly turn: number },
  { onDiverge }: ReconcileOptions,
): Reconciled {
  if (onDiverge === 'append') return { messages: messages.slice(at), known: at }
  if (onDiverge === 'reject') {
    throw new InvalidRequest(
      `messages[${at}] parts from the stored history at turn ${turn}. Send only the new messages.`,
      { param: `messages[${at}]` },
    )
  }
  const { exchange, before } = placeOf(messages, history, at, turn)
  return { messages: messages.slice(at - before), known: at - before, replaces: exchange }
}

/** The exchange of the turn, and how many of its stored messages the request repeats before it parts. */
function placeOf(
  messages: readonly Message[],
  { turns }: History,
  at: number,
  turn: number,
): { exchange: number; before: number } {
  const exchange = turns.find((stored) => stored.turn === turn)?.exchange ?? turn
  const stored = turns.filter((each) => each.exchange === exchange).flatMap((each) => each.messages)
  const said = stored.map(({ message }) => canonical(message))
  const sent = messages.slice(0, at).map(canonical)
  const most = Math.min(said.length, at)
  for (let before = most; before > 0; before--) {
    if (said.slice(0, before).every((text, place) => text === sent[at - before + place]))
      return { exchange, before }
  }
  return { exchange, before: 0 }
}

function checkRoles(
  { system }: Question,
  history: History,
  { messages, known }: Reconciled,
  accepted: readonly string[],
): void {
  const may = `A client may add only messages of ${accepted.map((role) => `"${role}"`).join(', ')}.`
  const at = messages.findIndex(({ role }) => !accepted.includes(role))
  if (at >= 0) {
    const place = `messages[${system.length + known + at}]`
    throw new InvalidRequest(`${place} is not in this session's history. ${may}`, { param: place })
  }
  if (system.every(({ role }) => accepted.includes(role))) return
  const pinned = history.system
    .filter(({ summarizes }) => summarizes === undefined)
    .map(({ message }) => canonical(message))
  if (system.length === pinned.length && system.every((each, place) => canonical(each) === pinned[place]))
    return
  throw new InvalidRequest(`The system message is not this session's. ${may}`, { param: 'messages[0]' })
}
