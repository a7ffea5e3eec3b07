import { hasUnstorable } from '../model/rule.js'

export interface JsonBounds {
  /** Levels of arrays and objects. */
  readonly deepest: number
  /** Whether NUL and lone surrogates may stand in strings and names. */
  readonly anyText: boolean
}

/**
 * Why a value would not come back from JSON as it is, with the path to the place, or nothing.
 * Fields whose value is `undefined` are absent. A cycle is too deep.
 */
export function jsonFault(value: unknown, path: string, bounds: JsonBounds): string | undefined {
  if (value === null || typeof value === 'boolean') return undefined
  if (typeof value === 'string') return textFault(value, path, bounds)
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${path} must be finite.`
  if (typeof value !== 'object') return `${path} must be JSON, got a ${typeof value}.`
  return insideFault(value, path, bounds)
}

function textFault(value: string, path: string, { anyText }: JsonBounds): string | undefined {
  if (anyText || !hasUnstorable(value)) return undefined
  return `${path} must not contain NUL or lone surrogates. Encode such text, for example as base64.`
}

function insideFault(value: object, path: string, bounds: JsonBounds): string | undefined {
  if (bounds.deepest === 0) return `${path} is nested too deeply. Flatten it.`
  if (!Array.isArray(value) && !isPlain(value)) {
    return `${path} must be JSON, got a ${nameOf(value)}. Convert it to a string or a plain object.`
  }
  const inside = { ...bounds, deepest: bounds.deepest - 1 }
  for (const [name, item] of Object.entries(value)) {
    const fault = textFault(name, `A name in ${path}`, bounds)
    if (fault !== undefined) return fault
    if (item === undefined && !Array.isArray(value)) continue
    const within = jsonFault(
      item,
      Array.isArray(value) ? `${path}[${name}]` : `${path}.${shorten(name)}`,
      inside,
    )
    if (within !== undefined) return within
  }
  return undefined
}

const nameOf = (value: object): string =>
  (value.constructor as { name?: string } | undefined)?.name ?? 'class'

const shorten = (name: string): string => (name.length > 40 ? `${name.slice(0, 40)}…` : name)

/** Objects of another realm (Jest's, a worker's) are plain too: their prototype is not ours, but it is the last one. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
