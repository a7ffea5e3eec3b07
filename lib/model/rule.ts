import { isObject } from './json.js'

/** What a value must be: `must` completes the sentence "limit must be …". */
export interface Rule {
  readonly must: string
  holds(value: unknown): boolean
}

/** Makes the error for a wrong field: a request's fields are the client's fault, an option is the host's. */
export type Fault = (message: string, param: string) => Error

export const integer = (least: number, most: number): Rule => ({
  must: `an integer from ${least} to ${most}`,
  holds: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
})

/** Well-formed text without NUL, counted in characters as Postgres counts them. */
export const text = (longest: number): Rule => ({
  must: `a string of 1 to ${longest} characters without NUL or lone surrogates`,
  holds: (value) => typeof value === 'string' && isStorableText(value, longest),
})

export const oneOf = (...values: readonly string[]): Rule => ({
  must: values.map((value) => JSON.stringify(value)).join(' or '),
  holds: (value) => typeof value === 'string' && values.includes(value),
})

export const aFunction: Rule = { must: 'a function', holds: (value) => typeof value === 'function' }

export const yesOrNo: Rule = { must: 'true or false', holds: (value) => typeof value === 'boolean' }

/** A known field whose value is checked elsewhere. */
export const anything: Rule = { must: 'given', holds: () => true }

export const nullable = (rule: Rule): Rule => ({
  must: `${rule.must}, or null`,
  holds: (value) => value === null || rule.holds(value),
})

/** NUL and lone surrogates: Postgres keeps neither in text. */
export const hasUnstorable = (value: string): boolean => value.includes('\0') || !value.isWellFormed()

export function isStorableText(value: string, longest: number): boolean {
  // UTF-16 counts at most two units a character, so most long texts need no count.
  if (value.length === 0 || value.length > 2 * longest || hasUnstorable(value)) return false
  return value.length <= longest || Array.from(value).length <= longest
}

/** Checks every given field; absent ones are left to the caller. Unknown ones are errors that name the nearest known one. */
export function checkFields(given: unknown, rules: Readonly<Record<string, Rule>>, fault: Fault): void {
  if (!isObject(given)) throw fault(`Give an object, not ${show(given)}.`, 'body')
  for (const [name, value] of Object.entries(given)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule === undefined) throw fault(unknownField(name, Object.keys(rules)), name)
    if (value !== undefined && !rule.holds(value)) throw fault(mustBe(name, rule.must, value), name)
  }
}

/** `max_history_messages must be an integer from 1 to 1000, got "4k".` */
export const mustBe = (name: string, must: string, value: unknown): string =>
  `${name} must be ${must}, got ${show(value)}.`

/** `max_history is not a known field. Did you mean max_history_messages?` */
export function unknownField(name: string, known: readonly string[], kind = 'field'): string {
  const meant = nearest(name, known)
  const shown = isPlainName.test(name) ? name : show(name)
  if (meant !== undefined) return `${shown} is not a known ${kind}. Did you mean ${meant}?`
  if (known.length === 0) return `${shown} is not a known ${kind}. Remove it.`
  return `${shown} is not a known ${kind}. Known: ${known.join(', ')}.`
}

const isPlainName = /^[\w.-]{1,64}$/

const longestShown = 40

/** A value in an error message: short, and never the inside of an object. */
export function show(value: unknown): string {
  if (typeof value === 'string') return showText(value)
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  return `a ${typeof value}`
}

function showText(value: string): string {
  if (value.length <= longestShown) return JSON.stringify(value)
  return `${JSON.stringify(value.slice(0, longestShown))}… (${value.length} characters)`
}

/** The known name that was probably meant: equal but for case and underscores, a part of it, or a few slips away. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length < 2 || name.length > 64) return undefined
  const plain = bare(name)
  const sure = known.find((candidate) => bare(candidate) === plain)
  if (sure !== undefined) return sure
  const [best] = known
    .map((candidate) => ({ candidate, slips: slipsBetween(plain, bare(candidate)) }))
    .filter(({ candidate, slips }) => slips <= Math.max(1, Math.floor(bare(candidate).length / 3)))
    .sort((one, other) => one.slips - other.slips)
  return best?.candidate ?? partOf(plain, known)
}

const partOf = (plain: string, known: readonly string[]): string | undefined =>
  plain.length < 3 ? undefined : known.find((candidate) => bare(candidate).includes(plain))

const bare = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')

/** Letters to insert, remove or replace: the distance of Levenshtein, one row at a time. */
function slipsBetween(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, column) => column)
  for (let line = 1; line <= one.length; line++) {
    const next = [line]
    for (let column = 1; column <= other.length; column++) {
      const replaced = row[column - 1]! + (one[line - 1] === other[column - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[column]! + 1, next[column - 1]! + 1))
    }
    row = next
  }
  return row[other.length]!
}
