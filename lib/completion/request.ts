import { InvalidRequest } from '../model/errors.js'
import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import { anything, checkFields, integer, oneOf, yesOrNo, type Fault, type Rule } from '../model/rule.js'
import type { Format } from '../wire/format.js'

/** What a turn asks, and for whom. */
export interface BeginRequest {
  readonly userId: string | number
  /** A session's id, or `"new"` to create one: the same one for the same idempotency key. */
  readonly sessionId: string
  /** The user's words, or the new messages in the format's shape. Either this or `body`. */
  readonly question?: string | Message | readonly Message[]
  /** A whole request body in the format's shape; the turn's `body` is what to send on. */
  readonly body?: JsonObject
  /** The provider's model; the body's own, or the session's, when absent. */
  readonly model?: string
  /** Idempotency key, at most 255 bytes: the same key on a session is recorded once. */
  readonly key?: string
  /** Aborting it interrupts the turn. */
  readonly signal?: AbortSignal
  /** The provider's wire shape; chat completions by default. */
  readonly format?: Format
  /** Messages of history for this turn alone, 1 to 1,000; the session's own number by default. */
  readonly maxHistoryMessages?: number
  /** Create the session when the user has none of this id. Default false. */
  readonly autoCreate?: boolean
  /** Answer the last question again: the present answer is superseded when the new one is done. The question may be left out. */
  readonly regenerate?: boolean
  /** What to do while another turn of the session is open. Default as configured. */
  readonly concurrency?: 'allow' | 'reject' | 'enqueue'
}

/** What a dry run asks: as a begin would, without what only a turn needs. */
export type ContextRequest = Omit<BeginRequest, 'key' | 'signal' | 'autoCreate' | 'concurrency'>

/** Fields of a body that are ours: they never reach a provider. */
const controlFields: ReadonlySet<string> = new Set(['session_id', 'idempotency_key', 'regenerate'])

/** The body without our control fields. */
export function withoutControls(body: JsonObject): JsonObject {
  if (!isObject(body)) throw new InvalidRequest('The request body must be a JSON object.')
  return Object.fromEntries(Object.entries(body).filter(([name]) => !controlFields.has(name)))
}

const invalid: Fault = (message, param) => new InvalidRequest(message, { param })

/** What is said where it is read is `anything` here: identities, keys, messages. */
const rules: Readonly<Record<keyof BeginRequest, Rule>> = {
  userId: anything,
  sessionId: anything,
  question: anything,
  body: anything,
  model: { must: 'a string', holds: (value) => typeof value === 'string' },
  key: anything,
  signal: { must: 'an AbortSignal', holds: (value) => 'aborted' in Object(value) },
  format: { must: 'a Format', holds: (value) => typeof (value as Format | null)?.reader === 'function' },
  maxHistoryMessages: integer(1, 1000),
  autoCreate: yesOrNo,
  regenerate: yesOrNo,
  concurrency: oneOf('allow', 'reject', 'enqueue'),
}

/** Throws `InvalidRequest` for wrong and for unknown fields. */
export const checkRequest = (request: BeginRequest): void => checkFields(request, rules, invalid)
