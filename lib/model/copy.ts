import { isObject, setOwn, type JsonObject } from './json.js'

/**
 * A deep copy of a value as JSON would keep it: what JSON leaves out is left out, and strings are shared. Ten times
 * faster than writing and parsing it.
 */
export function copyJson<T>(value: T): T {
  return copied(value) as T
}

/** A copy; what cannot be JSON stays itself, for the store to refuse. */
export function ownCopy<T>(value: T): T {
  try {
    return copyJson(value)
  } catch {
    return value
  }
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
  const { role, content } = object
  // Most messages are nothing but text: for these a literal is five times faster.
  if (fields.length === 2 && fields[0] === 'role' && typeof role === 'string' && typeof content === 'string')
    return { role, content }
  const copy: Record<string, unknown> = {}
  for (const field of fields) {
    const value = copied(object[field])
    if (value !== undefined) setOwn(copy, field, value)
  }
  return copy
}

function isPlain(value: unknown): value is JsonObject {
  if (!isObject(value) || typeof value['toJSON'] === 'function') return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function throughJson(value: unknown): unknown {
  const text: string | undefined = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}
