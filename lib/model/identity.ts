import { createHash, randomBytes } from 'node:crypto'

import { InvalidRequest, Unauthorized } from './errors.js'

export const sessionIdPattern = /^[A-Za-z0-9._~-]{1,128}$/

/** Bytes of randomness in a session's id: 192 bits, above the 128 that design asks. */
const sessionIdBytes = 24

const longestUserIdBytes = 255

/**
 * The user's id as it is stored: text of 1 to 255 bytes. Numbers become text; 0, "" and everything else are not users.
 * Throws `Unauthorized` where there is no user, `InvalidRequest` where the id cannot be stored.
 */
export function checkUserId(value: unknown): string {
  if (value === undefined || value === null || value === '' || value === 0) throw new Unauthorized()
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value)
  if (typeof value !== 'string')
    throw new InvalidRequest(`userId must be a string, got ${typeof value}.`, { param: 'userId' })
  if (!isStorableKey(value, longestUserIdBytes)) {
    throw new InvalidRequest('userId must be at most 255 bytes of well-formed text without NUL.', {
      param: 'userId',
    })
  }
  return value
}

/** A client's own session id, or one of ours. Throws `InvalidRequest`. */
export function checkSessionId(value: unknown): string {
  if (typeof value === 'string' && sessionIdPattern.test(value)) return value
  throw new InvalidRequest('session_id must be 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -, or "new".', {
    param: 'session_id',
  })
}

export const newSessionId = (): string => `sess_${randomBytes(sessionIdBytes).toString('base64url')}`

/** The session that `"new"` makes under an idempotency key: a retry finds the same one. Guessing it is worth nothing without being the user. */
export function keyedSessionId(userId: string, key: string): string {
  const hash = createHash('sha256')
    .update(`${Buffer.byteLength(userId)}:${userId}${key}`)
    .digest()
  return `sess_${hash.subarray(0, sessionIdBytes).toString('base64url')}`
}

/** Whether a text may be a key: well-formed, without NUL, 1 to `longest` bytes of UTF-8. */
export function isStorableKey(text: string, longest: number): boolean {
  if (text.length === 0 || text.includes('\0')) return false
  const bytes = Buffer.from(text, 'utf8')
  return bytes.length <= longest && bytes.toString('utf8') === text
}
