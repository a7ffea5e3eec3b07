import { isObject } from '../lib/model/json.js'
import { show, type Rule } from '../lib/model/rule.js'
import type { Headers } from './completion.js'

/** Where a request says which session it belongs to. */
export type SessionIdSource<Request> =
  | 'body'
  | { readonly header: string }
  | { readonly param: string }
  | { readonly cookie: string }
  | ((request: Request) => string | undefined)

/** What of a request may name a session, as every framework has it. */
export interface SessionIdPlaces<Request> {
  readonly request: Request
  readonly body: unknown
  readonly headers: Headers
  /** The parameters of the route, where there is one. */
  readonly params: Readonly<Record<string, string | string[] | undefined>> | undefined
}

export const sessionIdRule: Rule = {
  must: '"body", { header }, { param }, { cookie } or a function',
  holds: (value) => value === 'body' || typeof value === 'function' || isPlace(value),
}

function isPlace(value: unknown): boolean {
  if (!isObject(value)) return false
  const [[kind, name] = [], ...rest] = Object.entries(value)
  return (
    rest.length === 0 &&
    /^(?:header|param|cookie)$/.test(kind ?? '') &&
    typeof name === 'string' &&
    name !== ''
  )
}

/** The session's id as the request names it, whatever it is; `undefined` when it names none. */
export function sessionIdOf<Request>(
  source: SessionIdSource<Request>,
  { request, body, headers, params }: SessionIdPlaces<Request>,
): unknown {
  if (typeof source === 'function') return source(request)
  if (source === 'body') return isObject(body) ? body['session_id'] : undefined
  if ('header' in source) return first(headers[source.header.toLowerCase()])
  if ('param' in source) return first(params?.[source.param])
  return cookieOf(first(headers['cookie']), source.cookie)
}

/** Where in the words of an error the id was read. */
export function sessionIdPlace<Request>(source: SessionIdSource<Request>): string {
  if (source === 'body' || typeof source === 'function') return 'session_id'
  return Object.entries(source).map(([kind, name]) => `The ${kind} ${show(name)}`)[0]!
}

/** An empty value names nothing: a header or cookie that was cleared. */
function first(value: string | string[] | undefined): string | undefined {
  return (Array.isArray(value) ? value[0] : value) || undefined
}

function cookieOf(header: string | undefined, name: string): string | undefined {
  const pair = header?.split(';').find((part) => part.slice(0, part.indexOf('=')).trim() === name)
  if (pair === undefined) return undefined
  const value = pair
    .slice(pair.indexOf('=') + 1)
    .trim()
    .replace(/^"(.*)"$/, '$1')
  try {
    return decodeURIComponent(value) || undefined
  } catch {
    return value
  }
}
