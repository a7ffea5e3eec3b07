import { SessionNotFound } from '../model/errors.js'
import type { RouteResponse } from './problem.js'

/** A request whose user and path are known. */
export interface RouteCall {
  readonly userId: string
  readonly params: ReadonlyMap<string, string>
  /** The raw query string, without its question mark. */
  readonly query: string
  /** The parsed JSON body; `undefined` when there is none. */
  readonly body: () => Promise<unknown>
}

export type Handler = (call: RouteCall) => Promise<RouteResponse>
export type Methods = Readonly<Partial<Record<string, Handler>>>

export const param = ({ params }: RouteCall, name: string): string => params.get(name) ?? ''

export const nameOf = (call: RouteCall) => ({ userId: call.userId, id: param(call, 'id') })

/** Unknown, foreign, deleted and expired look the same. */
export function present<Found>(found: Found | undefined): Found {
  if (found === undefined) throw new SessionNotFound()
  return found
}
