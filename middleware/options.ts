import type { Format } from '../lib/index.js'
import { Misconfigured } from '../lib/model/errors.js'
import { aFunction, checkFields, oneOf, yesOrNo, type Fault, type Rule } from '../lib/model/rule.js'
import { sessionIdRule, type SessionIdSource } from './session-id.js'
import type { UserIdOf } from './user.js'

/** What every adapter takes. */
export interface AdapterOptions<Request> {
  /** The request's user by the host's own auth, or `bearer()`. Required; `undefined` is answered 401. */
  readonly userId: UserIdOf<Request>
  /** `respond` answers errors as JSON; `next` hands them to the host's own error handler. Default `respond`. */
  readonly onError?: 'respond' | 'next'
}

/** What completion endpoints take besides. */
export interface RememberOptions<Request> extends AdapterOptions<Request> {
  /** Where the session's id is: `'body'` (its `session_id`, the default), a header, a parameter of the route, a cookie or a function. A request that names none is left untouched. */
  readonly sessionId?: SessionIdSource<Request>
  /** Requests that are no turns. */
  readonly skip?: (request: Request) => boolean
  /** The wire shape; the core's by default. */
  readonly format?: Format
  /** Create sessions that a client names and the user does not have. Default false. */
  readonly autoCreate?: boolean
  /** When the client goes away: `abort` cancels (the turn's `signal`) and keeps what was said, `finish` records to the end. Default `abort`. */
  readonly onDisconnect?: 'abort' | 'finish'
  /** When the store is away: `fail` answers 503, `bypass` goes on without history and says so in a header. Default `fail`. */
  readonly onUnavailable?: 'fail' | 'bypass'
}

export const adapterRules: Readonly<Record<keyof AdapterOptions<unknown>, Rule>> = {
  userId: aFunction,
  onError: oneOf('respond', 'next'),
}

const rememberRules: Readonly<Record<keyof RememberOptions<unknown>, Rule>> = {
  ...adapterRules,
  sessionId: sessionIdRule,
  skip: aFunction,
  format: { must: 'a Format', holds: (value) => typeof (value as Format | null)?.reader === 'function' },
  autoCreate: yesOrNo,
  onDisconnect: oneOf('abort', 'finish'),
  onUnavailable: oneOf('fail', 'bypass'),
}

const misconfigured: Fault = (message) => new Misconfigured(message)

/** Options are checked once, at creation; the message of a wrong one says how to repair it. */
export function checkAdapterOptions(
  given: { readonly userId?: unknown } | undefined,
  rules: Readonly<Record<string, Rule>>,
): void {
  checkFields({ ...given }, rules, misconfigured)
  if (given?.userId !== undefined) return
  throw new Misconfigured(
    'userId is required: give a function from the request to the id of its user, or bearer({ secret }).',
  )
}

/** Throws `Misconfigured` for what `createTurnlog` did not make. */
export function checkBegin(given: { readonly begin?: unknown } | null | undefined): void {
  if (typeof given?.begin === 'function') return
  throw new Misconfigured('The first argument of remember must be what createTurnlog() returned.')
}

/** Every option of a completion endpoint, decided. */
export function rememberOptions<Request>(given: RememberOptions<Request>) {
  checkAdapterOptions(given, rememberRules)
  const {
    onError = 'respond',
    onDisconnect = 'abort',
    onUnavailable = 'fail',
    autoCreate = false,
    sessionId = 'body',
    ...rest
  } = given
  return { onError, onDisconnect, onUnavailable, autoCreate, sessionId, format: undefined, ...rest }
}
