import { MethodNotAllowed, TurnlogError, Unauthorized } from '../model/errors.js'

/** A response that any framework can send: `body` is JSON text. */
export interface RouteResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** History belongs to one user, so nothing between us and the client may keep it. */
export const jsonResponse = (
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): RouteResponse => ({
  status,
  headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', ...headers },
  body: JSON.stringify(body),
})

/**
 * An error as a client sees it: OpenAI's envelope, with the headers that belong to it. Nothing for what is not the client's
 * business: a foreign error, or a mistake of the host's. Those go to the host's own error handler.
 */
export function problem(error: unknown): RouteResponse | undefined {
  if (!(error instanceof TurnlogError) || !error.expose) return undefined
  return jsonResponse(error.status, error.toBody(), problemHeaders(error))
}

export function problemHeaders(error: TurnlogError): Record<string, string> {
  return {
    ...(error instanceof Unauthorized && { 'www-authenticate': error.challenge }),
    ...(error instanceof MethodNotAllowed && { allow: error.allow }),
    ...(error.retryAfterSeconds !== undefined && { 'retry-after': String(error.retryAfterSeconds) }),
  }
}
