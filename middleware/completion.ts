import type { Format, JsonObject, Turn, Turnlog } from '../lib/index.js'
import { isJson } from './body.js'
import { HistoryUnavailable, InvalidRequest, isObject, Misconfigured, withoutControls } from '../lib/index.js'

/** A header's values as Node gives them. */
export type Headers = { readonly [name: string]: string | string[] | undefined }

/** What of a request a completion needs; every framework has it. */
export interface CompletionRequest {
  readonly body: unknown
  readonly headers: Headers
  readonly userId: () => Promise<string>
  /** The session as the request names it, and where an error says it was read. */
  readonly sessionId: unknown
  readonly sessionIdPlace: string
  /** Asked for when a turn begins: most requests of a host begin none, and a signal is the dearest part of passing them on. */
  readonly signal: () => AbortSignal
}

/** What the adapter has to do with the request. */
export type Prepared =
  /** It is not for us: not a byte of it changes. */
  | { readonly kind: 'untouched' }
  /** The handler runs with this body, and its answer is recorded. */
  | {
      readonly kind: 'turn'
      readonly turn: Turn
      readonly body: JsonObject
      readonly headers: Readonly<Record<string, string>>
    }
  /** The store is away and the host wants to go on without it. */
  | { readonly kind: 'bypass'; readonly body: JsonObject; readonly headers: Readonly<Record<string, string>> }
  /** A finished answer, given again; the handler does not run. */
  | { readonly kind: 'replay'; readonly body: string; readonly headers: Readonly<Record<string, string>> }

export interface CompletionOptions {
  readonly format: Format | undefined
  readonly onUnavailable: 'fail' | 'bypass'
  readonly autoCreate: boolean
}

/** The headers that a turn may answer with; a browser's script sees them only when they are exposed. */
export const exposedHeaders =
  'X-Session-Id, X-Turn-Id, X-History-Injected, X-History-Dropped, X-History-Tokens, X-History-Source, X-History-Stored, X-History-Degraded, Idempotent-Replayed'

/** Read a completion request, begin its turn and say what the adapter has to do. Rejects with the error that the client should get. */
export async function prepareCompletion(
  begin: Turnlog['begin'],
  request: CompletionRequest,
  options: CompletionOptions,
): Promise<Prepared> {
  const { body, sessionId } = request
  if (body === undefined && hasJsonBody(request.headers)) throw unparsed()
  if (sessionId === undefined || sessionId === null) return { kind: 'untouched' }
  // A header or a cookie comes with every request, also with those that ask nothing.
  if (body === undefined || (isObject(body) && Object.keys(body).length === 0)) return { kind: 'untouched' }
  if (!isObject(body)) throw new InvalidRequest('The request body must be a JSON object.')
  if (typeof sessionId !== 'string') {
    const place = request.sessionIdPlace
    throw new InvalidRequest(`${place} must be a string, got ${typeof sessionId}.`, { param: 'session_id' })
  }
  const userId = await request.userId()
  const key = idempotencyKey(request.headers['idempotency-key'], body.idempotency_key)
  const { format, autoCreate } = options
  try {
    const turn = await begin({ userId, sessionId, body, key, format, autoCreate, signal: request.signal() })
    return turn.replay ? replayed(turn, turn.replay, body) : begun(turn)
  } catch (error) {
    if (!(error instanceof HistoryUnavailable) || options.onUnavailable === 'fail') throw error
    return bypass(body)
  }
}

function begun(turn: Turn): Prepared {
  return { kind: 'turn', turn, body: turn.body ?? {}, headers: turnHeaders(turn) }
}

function replayed(turn: Turn, replay: NonNullable<Turn['replay']>, body: JsonObject): Prepared {
  const { contentType, body: answer } = replay.as(body.stream === true ? 'stream' : 'json')
  const headers = { ...turnHeaders(turn), 'Content-Type': contentType, 'Idempotent-Replayed': 'true' }
  return { kind: 'replay', body: answer, headers }
}

function bypass(body: JsonObject): Prepared {
  const headers = { 'X-History-Source': 'none', 'X-History-Degraded': 'unavailable' }
  return { kind: 'bypass', body: withoutControls(body), headers }
}

function turnHeaders({ sessionId, number, receipt }: Turn): Record<string, string> {
  return {
    'X-Session-Id': sessionId,
    'X-Turn-Id': String(number),
    'X-History-Injected': String(receipt.injected),
    'X-History-Dropped': String(receipt.dropped),
    'X-History-Source': receipt.source,
    ...(receipt.tokens !== undefined && { 'X-History-Tokens': String(receipt.tokens) }),
  }
}

function idempotencyKey(header: string | string[] | undefined, field: unknown): string | undefined {
  const fromHeader = Array.isArray(header) ? header[0] : header
  if (field === undefined || field === null) return fromHeader
  if (typeof field !== 'string') {
    throw new InvalidRequest(`idempotency_key must be a string, got ${typeof field}.`, {
      param: 'idempotency_key',
    })
  }
  if (fromHeader === undefined || fromHeader === field) return field
  throw new InvalidRequest('The Idempotency-Key header and idempotency_key differ. Send one of them.', {
    param: 'idempotency_key',
  })
}

/** Any other body carries no session_id, and is none of ours. */
const hasJsonBody = (headers: Headers): boolean =>
  isJson(headers) &&
  (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0)

const unparsed = (): Misconfigured =>
  new Misconfigured(
    'The request body has not been parsed. Mount a JSON body parser before Turnlog: app.use(express.json()) or app.use(bodyParser()).',
  )
