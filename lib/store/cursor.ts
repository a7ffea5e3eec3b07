import { InvalidRequest } from '../model/errors.js'
import type { PageRequest } from '../model/page.js'

/** Deeper pages by number would scan what they skip. */
const deepestOffset = 1_000
const longestPage = 1_000

const digits = /^\d{1,10}$/
const moment = /^\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/
const largestNumber = 2_147_483_647

/** Opaque to clients: where a page ended. */
export const writeCursor = (place: readonly (string | number)[]): string =>
  Buffer.from(place.join('\n')).toString('base64url')

const parts = (cursor: string): string[] => Buffer.from(cursor, 'base64url').toString('utf8').split('\n')

function refuse(field: string): never {
  throw new InvalidRequest(
    `${field} is not a cursor of this list. Pass the next_cursor of an earlier page as it was.`,
    { param: field },
  )
}

/** A message's place: exchange, turn, part. */
export function readMessageCursor(field: string, cursor: string): readonly [number, number, number] {
  const place = parts(cursor)
  if (place.length !== 3 || !place.every((text) => digits.test(text) && Number(text) <= largestNumber)) {
    return refuse(field)
  }
  return [Number(place[0]), Number(place[1]), Number(place[2])]
}

/** A session's place: the moment of its activity, to the microsecond, and its id. */
export function readSessionCursor(field: string, cursor: string): readonly [string, string] {
  const [at = '', ...rest] = parts(cursor)
  const id = rest.join('\n')
  if (id === '' || !moment.test(at) || Number.isNaN(Date.parse(at)) || id.includes('\0')) return refuse(field)
  return [at, id]
}

/** Throws `InvalidRequest` for what no page can be. */
export function checkPage({ limit, offset, after, before }: PageRequest): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > longestPage) {
    throw new InvalidRequest(`limit must be 1 to ${longestPage}.`, { param: 'limit' })
  }
  if (after !== undefined && before !== undefined) {
    throw new InvalidRequest('Give after or before, not both.', { param: 'before' })
  }
  if (offset === undefined) return
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > deepestOffset) {
    throw new InvalidRequest(
      `offset must be 0 to ${deepestOffset}. To read further, pass the next_cursor of a page as after.`,
      { param: 'offset' },
    )
  }
}
