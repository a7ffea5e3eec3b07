import { InvalidRequest } from '../model/errors.js'
import type { JsonObject } from '../model/json.js'

const numbers = new Set(['limit', 'offset'])

/**
 * The query string's fields, numbers as numbers where they are some. We read it ourselves: what a host's query parser makes of
 * it (arrays, objects, nothing) differs from host to host.
 */
export function readQuery(query: string): JsonObject {
  const fields = [...new URLSearchParams(query)]
  const seen = new Set<string>()
  for (const [name] of fields) {
    if (seen.has(name)) throw givenTwice(name.slice(0, 64))
    seen.add(name)
  }
  // Defines each field, whatever its name: __proto__ too.
  return Object.fromEntries(
    fields.map(([name, value]) => [name, numbers.has(name) ? asNumber(value) : value]),
  )
}

const givenTwice = (name: string): InvalidRequest =>
  new InvalidRequest(`${name} is given twice. Give it once.`, { param: name })

const asNumber = (value: string): number | string => (/^\d{1,15}$/.test(value) ? Number(value) : value)
