import { InvalidRequest } from '../model/errors.js'
import type { PageRequest } from '../model/page.js'
import { integer, oneOf, text, type Rule } from '../model/rule.js'
import { defaultPageLimit, longestCursor, longestOffset, type SessionBounds } from './limits.js'

type PageField = keyof PageRequest

/** The rules of those page fields that a listing knows. */
export function pageRules(bounds: SessionBounds, known: readonly PageField[]): Record<string, Rule> {
  const rules: Record<PageField, Rule> = {
    limit: integer(1, bounds.maxPageLimit),
    offset: {
      ...integer(0, longestOffset),
      must: `an integer from 0 to ${longestOffset}; beyond that go on with after`,
    },
    after: text(longestCursor),
    before: text(longestCursor),
    order: oneOf('asc', 'desc'),
  }
  return Object.fromEntries(known.map((name) => [name, rules[name]]))
}

/** The page of checked fields: a page begins at one place only. */
export function pageRequest(given: Partial<PageRequest>, bounds: SessionBounds): PageRequest {
  const { offset, after, before, order } = given
  const places = Object.entries({ offset, after, before }).filter(([, place]) => place !== undefined)
  if (places.length > 1) {
    const [first, second] = places.map(([name]) => name)
    throw new InvalidRequest(
      `${second} cannot be given with ${first}. Give one of offset, after and before.`,
      {
        param: second!,
      },
    )
  }
  return {
    limit: given.limit ?? Math.min(defaultPageLimit, bounds.maxPageLimit),
    ...(offset !== undefined && { offset }),
    ...(after !== undefined && { after }),
    ...(before !== undefined && { before }),
    ...(order !== undefined && { order }),
  }
}
