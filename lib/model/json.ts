/** A parsed JSON object whose fields nobody has checked yet. */
export type JsonObject = { readonly [field: string]: unknown }

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Set a field of the object's own, as parsed JSON has it: also `__proto__`, which an assignment takes for something else. */
export function setOwn(object: Record<string, unknown>, field: string, value: unknown): void {
  if (field !== '__proto__') object[field] = value
  else Object.defineProperty(object, field, { value, configurable: true, enumerable: true, writable: true })
}

/** The parsed text; `undefined`, which JSON does not know, when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The same text for the same value: keys in order, absent fields left out. For fingerprints and comparisons. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value) ?? 'null'
  const fields = Object.keys(value)
    .filter((name) => value[name] !== undefined)
    .sort()
  return `{${fields.map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name])}`).join(',')}}`
}

/** Whether arrays and objects are nested at most `deepest` levels. Goes no deeper itself. */
export function isShallow(value: unknown, deepest: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return deepest >= 0 && Object.values(value).every((item) => isShallow(item, deepest - 1))
}
