import { MethodNotAllowed } from '../model/errors.js'
import type { Methods } from './call.js'
import { createHandlers, createStatsHandlers, type RouteParts } from './handlers.js'
import type { RouteResponse } from './problem.js'
import { matchPath } from './table.js'

/** A request as a framework's adapter hands it down. */
export interface RouteRequest {
  readonly method: string
  /** The path below the mount, as it came: still percent-encoded. */
  readonly path: string
  /** The raw query string, without its question mark. */
  readonly query: string
  /** Asked once the path is known to be ours. Throws `Unauthorized` when there is no user. */
  readonly userId: () => Promise<string>
  /** Asked only by the routes that read a body, once the user is known. `undefined` when there is none. */
  readonly body: () => Promise<unknown>
}

export interface Routes {
  /** Answers the request; `undefined` when the path is not ours, and for OPTIONS, which is the host's CORS. Throws `TurnlogError`: see `problem`. */
  handle(request: RouteRequest): Promise<RouteResponse | undefined>
}

/** The REST routes of sessions, free of any framework. */
export function createRoutes(parts: RouteParts): Routes {
  const handlers = createHandlers(parts)
  return {
    async handle({ method, path, query, userId, body }) {
      if (method === 'OPTIONS') return undefined
      const match = matchPath(path)
      if (match === undefined) return undefined
      const user = await userId()
      const handler = handlerFor(handlers[match.name], method)
      return await handler({ userId: user, params: match.params, query, body })
    },
  }
}

/** The one route beside them: how much of a user's there is. Whatever path leads to it, the mount says where it is. */
export function createStatsRoute(parts: Pick<RouteParts, 'sessions'>): Routes {
  const methods = createStatsHandlers(parts)
  return {
    async handle({ method, query, userId, body }) {
      if (method === 'OPTIONS') return undefined
      const user = await userId()
      return await handlerFor(methods, method)({ userId: user, params: new Map(), query, body })
    },
  }
}

/** HEAD is GET; that its body stays unsent is the server's business. */
function handlerFor(methods: Methods, method: string) {
  const wanted = method === 'HEAD' ? 'GET' : method
  const handler = Object.hasOwn(methods, wanted) ? methods[wanted] : undefined
  if (handler !== undefined) return handler
  const allowed = Object.keys(methods).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]))
  throw new MethodNotAllowed(method, allowed.join(', '))
}
