import { isObject, setOwn, type JsonObject } from './json.js'

/**
 * A deep copy of a value as JSON would keep it: what JSON leaves out is left out, and strings are shared. Ten times
 * faster than writing and parsing it. What comes from a host and what goes to it is copied, so that no change of the
 * host's reaches what is kept.
 */
export function copyJson<T>(value: T): T {
  return copied(value) as T
}

function copied(value: unknown): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  // JSON knows neither -0 nor what is not finite.
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null
  if (Array.isArray(value)) return value.map((item) => copied(item) ?? null)
  return isPlain(value) ? copiedObject(value) : throughJson(value)
}

function copiedObject(object: JsonObject): JsonObject {
  const fields = Object.keys(object)
  if (isBareMessage(object, fields)) return { role: object.role, content: object.content }
  const copy: Record<string, unknown> = {}
  for (const field of fields) {
    const value = copied(object[field])
    if (value !== undefined) setOwn(copy, field, value)
  }
  return copy
}

/** Most messages are nothing but text: for these a literal is five times faster. */
const isBareMessage = (
  object: JsonObject,
  fields: readonly string[],
): object is { readonly role: string; readonly content: string } =>
  fields.length === 2 &&
  fields[0] === 'role' &&
  fields[1] === 'content' &&
  typeof object['role'] === 'string' &&
  typeof object['content'] === 'string'

function isPlain(value: unknown): value is JsonObject {
  if (!isObject(value) || typeof value['toJSON'] === 'function') return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function throughJson(value: unknown): unknown {
  const text: string | undefined = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}
