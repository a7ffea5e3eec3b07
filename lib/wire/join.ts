import { isObject, setOwn, type JsonObject } from '../model/json.js'

/** How a delta's fields join what is there: text and lists are appended, objects join by their own rule, anything else replaces. */
export interface JoinRule {
  readonly [field: string]: 'append' | JoinRule
}

/** The most calls, blocks or other parts of one answer: eight times what the official client takes. */
export const mostParts = 1_024

/** What is there and a delta, as one object. What a delta leaves empty (null or "") never replaces what was said. */
export function join(there: JsonObject, delta: JsonObject, rule: JoinRule): JsonObject {
  const fields = { ...there }
  for (const field of Object.keys(delta)) {
    const old = Object.hasOwn(there, field) ? there[field] : undefined
    setOwn(fields, field, joined(old, delta[field], Object.hasOwn(rule, field) ? rule[field] : undefined))
  }
  return fields
}

function joined(old: unknown, value: unknown, how: 'append' | JoinRule | undefined): unknown {
  if (old === undefined || old === null)
    return isObject(how) && isObject(value) ? join({}, value, how) : value
  if (value === undefined || value === null || value === '') return old
  if (how === 'append') return append(old, value)
  return how && isObject(old) && isObject(value) ? join(old, value, how) : value
}

function append(old: unknown, value: unknown): unknown {
  if (typeof old === 'string' && typeof value === 'string') return old + value
  if (!Array.isArray(old) && !Array.isArray(value)) return value
  const parts = [...asParts(old)]
  for (const part of asParts(value)) addPart(parts, part)
  return parts
}

/** Some providers change between text and lists of parts within one answer. */
function asParts(content: unknown): readonly unknown[] {
  if (Array.isArray(content)) return content
  return content === '' ? [] : [{ type: 'text', text: content }]
}

const partRule: JoinRule = { text: 'append', summary: 'append' }

/** Pieces of one text follow each other with one type and one index; any other part is whole. */
function addPart(parts: unknown[], part: unknown): void {
  const last = parts.at(-1)
  if (isObject(last) && isObject(part) && goesOn(last, part))
    parts[parts.length - 1] = join(last, part, partRule)
  else parts.push(part)
}

const goesOn = (last: JsonObject, { type, index }: JsonObject): boolean =>
  pieces.has(type) && last['type'] === type && last['index'] === index

const pieces: ReadonlySet<unknown> = new Set(['text', 'reasoning.text', 'reasoning.summary'])
