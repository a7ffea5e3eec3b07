import { Misconfigured } from '../lib/model/errors.js'
import { integer, type Rule } from '../lib/model/rule.js'
import type { RouteParts } from '../lib/routes/handlers.js'
import { adapterRules, checkAdapterOptions, type AdapterOptions } from './options.js'

/** What session routes take. */
export interface RouteOptions<Request> extends AdapterOptions<Request> {
  /** Bytes of a body that no parser of the host has read. Default 262,144. */
  readonly maxBodyBytes?: number
}

const routeRules: Readonly<Record<keyof RouteOptions<unknown>, Rule>> = {
  ...adapterRules,
  maxBodyBytes: integer(1, 64 * 1024 * 1024),
}

/** Every option of session routes, decided. */
export function routeOptions<Request>(given: RouteOptions<Request>): Required<RouteOptions<Request>> {
  checkAdapterOptions(given, routeRules)
  const { userId, onError = 'respond', maxBodyBytes = 262_144 } = given
  return { userId, onError, maxBodyBytes }
}

/** Throws `Misconfigured` for what has no sessions. */
export function checkSessions(given: Partial<RouteParts> | null | undefined): void {
  if (typeof given?.sessions?.stats === 'function') return
  throw new Misconfigured('The first argument of statsRoute must be what createTurnlog() returned.')
}

/** Throws `Misconfigured` for what `createTurnlog` did not make. */
export function checkTurnlog(given: Partial<RouteParts> | null | undefined): void {
  if (given?.sessions !== undefined && given.messages !== undefined && given.turns !== undefined) return
  throw new Misconfigured('The first argument of sessionRoutes must be what createTurnlog() returned.')
}
