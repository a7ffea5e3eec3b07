import { Misconfigured } from '../lib/model/errors.js'
import type { RememberOptions } from './options.js'
import type { RouteOptions } from './route-options.js'

/** Where both are mounted, and what each of them takes. */
export interface ChatHistoryOptions<Request> extends RememberOptions<Request>, RouteOptions<Request> {
  /** Where the session routes are. Default `/chat/sessions`. */
  readonly sessionsPath?: string
  /** Where the user's counts are. Default `/chat/stats`. */
  readonly statsPath?: string
  /** Where the host's completion handler is. Default `/v1/chat/completions`. */
  readonly completionsPath?: string
}

/** The options parted between the two. */
export function chatHistoryOptions<Request>(given: ChatHistoryOptions<Request>) {
  const {
    sessionsPath = '/chat/sessions',
    statsPath = '/chat/stats',
    completionsPath = '/v1/chat/completions',
    maxBodyBytes,
    ...completions
  } = given
  checkPath('sessionsPath', sessionsPath)
  checkPath('statsPath', statsPath)
  checkPath('completionsPath', completionsPath)
  const { userId, onError } = completions
  const routes: RouteOptions<Request> = {
    userId,
    ...(onError && { onError }),
    ...(maxBodyBytes !== undefined && { maxBodyBytes }),
  }
  return { sessionsPath, statsPath, completionsPath, routes, completions }
}

function checkPath(name: string, path: unknown): void {
  if (typeof path === 'string' && /^\/.*[^/]$/.test(path)) return
  throw new Misconfigured(
    `${name} must be a path that begins with / and does not end with it, got ${JSON.stringify(path)}.`,
  )
}

/** What follows `base` in `path`, from its slash on; nothing when the path is not below it. */
export function pathBelow(base: string, path: string): string | undefined {
  if (path === base) return '/'
  return path.startsWith(`${base}/`) ? path.slice(base.length) : undefined
}
