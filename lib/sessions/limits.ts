import { Misconfigured } from '../model/errors.js'
import { checkFields, integer, type Rule } from '../model/rule.js'

/** The bounds of the in-process API; the HTTP routes have the same. */
export interface SessionLimits {
  /** Bytes of a session's metadata as JSON. Default 16,384. */
  readonly maxMetadataBytes?: number
  /** Levels of arrays and objects within metadata. Default 32. */
  readonly maxMetadataDepth?: number
  /** Items of a page. Default 100. */
  readonly maxPageLimit?: number
  /** Messages of one `append`. Default 1,000. */
  readonly maxAppendMessages?: number
}

export type SessionBounds = Required<SessionLimits>

const mebibyte = 1024 * 1024

const rules: Record<keyof SessionLimits, Rule> = {
  maxMetadataBytes: integer(2, mebibyte),
  maxMetadataDepth: integer(1, 1_000),
  maxPageLimit: integer(1, 1_000),
  maxAppendMessages: integer(1, 100_000),
}

/** Every bound, decided. Throws `Misconfigured` for a wrong or unknown one. */
export function sessionBounds(limits: SessionLimits = {}): SessionBounds {
  checkFields(limits, rules, (message) => new Misconfigured(`limits: ${message}`))
  return {
    maxMetadataBytes: limits.maxMetadataBytes ?? 16_384,
    maxMetadataDepth: limits.maxMetadataDepth ?? 32,
    maxPageLimit: limits.maxPageLimit ?? 100,
    maxAppendMessages: limits.maxAppendMessages ?? 1_000,
  }
}

/** Items of a page when nobody says how many; never more than the page limit. */
export const defaultPageLimit = 50

/** Beyond this, pages are found by cursor alone: a large OFFSET reads all that it skips. */
export const longestOffset = 1_000

export const longestName = 255
export const mostHistoryMessages = 1_000
export const longestTtlSeconds = 10 * 365 * 24 * 60 * 60
export const longestCursor = 1_024
