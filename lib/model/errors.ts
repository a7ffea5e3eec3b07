/** The `type` field of OpenAI's error envelope, by status; every client library knows these. */
const typeOf = (status: number): string => {
  if (status === 401) return 'authentication_error'
  if (status === 404) return 'not_found_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

/** OpenAI's error envelope: `{"error":{"message","type","param","code"}}`. */
export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string
  }
}

export interface ErrorDetails {
  /** The name of the field that is wrong. */
  readonly param?: string
  /** What a driver said; never shown to a client. */
  readonly cause?: unknown
  /** How long a client should wait before it tries again, in whole seconds: the `Retry-After` header. */
  readonly retryAfterSeconds?: number
}

/**
 * Every error that Turnlog throws on purpose. `status` is the HTTP status, `code` the stable name,
 * `expose` says that `message` may be shown to a client (koa and http-errors read it).
 */
export class TurnlogError extends Error {
  readonly code: string
  readonly status: number
  readonly expose: boolean
  readonly param: string | null
  readonly retryAfterSeconds: number | undefined

  constructor(code: string, status: number, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.status = status
    this.expose = status < 500 || status === 503
    this.param = details.param ?? null
    this.retryAfterSeconds = details.retryAfterSeconds
  }

  /** The body that a client gets. */
  toBody(): ErrorBody {
    const message = this.expose ? this.message : 'Internal error'
    return { error: { message, type: typeOf(this.status), param: this.param, code: this.code } }
  }
}

/** A request or an argument is wrong; the message says which field and how to repair it. */
export class InvalidRequest extends TurnlogError {
  constructor(message: string, details?: ErrorDetails) {
    super('invalid_request', 400, message, details)
  }
}

export class Unauthorized extends TurnlogError {
  /** The value of the `WWW-Authenticate` header. */
  readonly challenge: string

  constructor(
    message = 'Authentication is required.',
    { challenge = 'Bearer', ...details }: ErrorDetails & { readonly challenge?: string } = {},
  ) {
    super('unauthorized', 401, message, details)
    this.challenge = challenge
  }
}

/** Another user's session, a deleted, an expired one and one that never was look the same. */
export class SessionNotFound extends TurnlogError {
  constructor(message = 'No such session.', details?: ErrorDetails) {
    super('session_not_found', 404, message, { param: 'session_id', ...details })
  }
}

/** A message that is not in the session, or that nothing can be done with. */
export class MessageNotFound extends TurnlogError {
  constructor(message = 'The session has no such message.', param = 'message') {
    super('message_not_found', 404, message, { param })
  }
}

/** The id that a client chose is taken: by a session of the same user, live, deleted or expired. */
export class SessionExists extends TurnlogError {
  constructor() {
    super(
      'session_exists',
      409,
      'You have used this session_id before. Choose another one, or leave it out.',
      {
        param: 'session_id',
      },
    )
  }
}

export class MethodNotAllowed extends TurnlogError {
  /** The value of the `Allow` header. */
  readonly allow: string

  constructor(method: string, allow: string) {
    super('method_not_allowed', 405, `${method} is not allowed here. Allowed: ${allow}.`)
    this.allow = allow
  }
}

/** 409: the same idempotency key is running, or the session takes one turn at a time. */
export class TurnInProgress extends TurnlogError {
  constructor(message: string, retryAfterSeconds: number) {
    super('turn_in_progress', 409, message, { retryAfterSeconds })
  }
}

export class IdempotencyKeyReused extends TurnlogError {
  constructor() {
    super(
      'idempotency_key_reused',
      422,
      'This idempotency key was used with another request body. Use a new key.',
      {
        param: 'idempotency_key',
      },
    )
  }
}

export class PayloadTooLarge extends TurnlogError {
  constructor(message: string, details?: ErrorDetails) {
    super('payload_too_large', 413, message, details)
  }
}

export class ContextLengthExceeded extends TurnlogError {
  constructor(message: string) {
    super('context_length_exceeded', 400, message, { param: 'messages' })
  }
}

/** The store did not answer within its deadline. */
export class HistoryUnavailable extends TurnlogError {
  constructor(cause?: unknown, message = 'The conversation history is unavailable. Try again shortly.') {
    super('history_unavailable', 503, message, { cause, retryAfterSeconds: 1 })
  }
}

/** The host's code or set-up is wrong: an unknown option, a missing peer, a handler out of order. */
export class Misconfigured extends TurnlogError {
  constructor(message: string, details?: ErrorDetails) {
    super('misconfigured', 500, message, details)
  }
}
