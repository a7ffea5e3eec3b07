import { MethodNotAllowed } from '../model/errors.js'
import type { Methods, RouteCall } from './call.js'
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
  return routesBy((path) => {
    const match = matchPath(path)
    return match && { methods: handlers[match.name], params: match.params }
  })
}

/** The one route beside them: how much of a user's there is. Whatever path leads to it, the mount says where it is. */
export function createStatsRoute(parts: Pick<RouteParts, 'sessions'>): Routes {
  const found = { methods: createStatsHandlers(parts), params: new Map<string, string>() }
  return routesBy(() => found)
}

interface Found extends Pick<RouteCall, 'params'> {
  readonly methods: Methods
}

const routesBy = (find: (path: string) => Found | undefined): Routes => ({
  async handle({ method, path, query, userId, body }) {
    const found = method === 'OPTIONS' ? undefined : find(path)
    if (found === undefined) return undefined
    const user = await userId()
    return await handlerFor(found.methods, method)({ userId: user, params: found.params, query, body })
  },
})

/** HEAD is GET; that its body stays unsent is the server's business. */
function handlerFor(methods: Methods, method: string) {
  const wanted = method === 'HEAD' ? 'GET' : method
  const handler = Object.hasOwn(methods, wanted) ? methods[wanted] : undefined
  if (handler !== undefined) return handler
  const allowed = Object.keys(methods).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]))
  throw new MethodNotAllowed(method, allowed.join(', '))
}
