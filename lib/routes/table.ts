import { InvalidRequest, TurnlogError } from '../model/errors.js'

/** The paths below the mount. A name with a colon takes any segment. */
export const paths = {
  sessions: [],
  session: [':id'],
  clear: [':id', 'clear'],
  restore: [':id', 'restore'],
  fork: [':id', 'fork'],
  messages: [':id', 'messages'],
  message: [':id', 'messages', ':message'],
  turn: [':id', 'turns', ':turn'],
  context: [':id', 'context'],
} as const

export type PathName = keyof typeof paths

/** A path of ours, and what stood in its open segments. */
export interface Match {
  readonly name: PathName
  readonly params: ReadonlyMap<string, string>
}

const patterns = Object.entries(paths) as [PathName, readonly string[]][]

/** The words that make a path ours below a session. */
const ours = new Set<string>(patterns.flatMap(([, pattern]) => pattern.slice(1, 2)))

/**
 * Finds the path. Nothing when it may be the host's own, which goes on then. Throws 404 where the path continues one of ours
 * and is none, 400 where a segment is badly encoded. One slash at the end makes no difference.
 */
export function matchPath(path: string): Match | undefined {
  const segments = path.replace(/^\//, '').replace(/\/$/, '').split('/')
  const given = segments.length === 1 && segments[0] === '' ? [] : segments
  if (given.some((segment) => segment === '')) return undefined
  const found = patterns.find(([, pattern]) => fits(pattern, given))
  if (found !== undefined) return { name: found[0], params: paramsOf(found[1], given) }
  if (given.length > 1 && ours.has(given[1]!)) throw noSuchPath()
  return undefined
}

const fits = (pattern: readonly string[], given: readonly string[]): boolean =>
  pattern.length === given.length &&
  pattern.every((part, index) => part.startsWith(':') || part === given[index])

const paramsOf = (pattern: readonly string[], given: readonly string[]): Map<string, string> =>
  new Map(
    pattern.flatMap((part, index) =>
      part.startsWith(':') ? [[part.slice(1), decode(given[index]!)] as const] : [],
    ),
  )

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new InvalidRequest(
      'The path is not well encoded: each % needs two hexadecimal digits of UTF-8 after it.',
    )
  }
}

const noSuchPath = (): TurnlogError =>
  new TurnlogError(
    'not_found',
    404,
    'No such path. Known below a session: /clear, /context, /fork, /messages, /messages/{message}, /restore, /turns/{turn}.',
  )
