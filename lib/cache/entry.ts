import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

import type { History, HistoryTurn } from '../model/history.js'
import { isObject } from '../model/json.js'
import type { SessionKey } from '../model/session.js'

/*
 * An entry in Redis: version (1 byte) · checksum of all that follows (4) · bytes of the payload (4) · the session's
 * hash (32) · payload. The payload is the history's JSON: msgpack and v8.serialize save half of the writing and little
 * of the reading, compression makes writing two to four times as long (`bench/entry.ts`), and JSON alone reads the
 * same in every version of Node.
 */
const version = 2
const headerBytes = 41
const checksumAt = 1
const checkedFrom = 5
const hashAt = 9

/**
 * The name of a session's entry: 32 bytes that say nothing of the user or the session. The user's part is prefixed
 * with its length, so no two sessions share a name; UTF-16, because UTF-8 makes one of all lone surrogates.
 */
export const sessionHash = ({ userId, sessionId }: SessionKey): Buffer =>
  hash('sha256', Buffer.from(`${userId.length}:${userId}${sessionId}`, 'utf16le'), 'buffer')

/** A history as the bytes of an entry; `undefined` where it cannot be JSON. */
export function encodeEntry(history: History, session: Buffer): Buffer | undefined {
  const payload = toJson(history)
  if (payload === undefined) return undefined
  const payloadBytes = Buffer.byteLength(payload)
  const entry = Buffer.allocUnsafe(headerBytes + payloadBytes)
  entry.writeUInt8(version, 0)
  entry.writeUInt32BE(payloadBytes, checkedFrom)
  session.copy(entry, hashAt)
  entry.write(payload, headerBytes, 'utf8')
  entry.writeUInt32BE(crc32(entry.subarray(checkedFrom)), checksumAt)
  return entry
}

/** The history in an entry; `undefined` when the bytes are of another version, another session, another length, or damaged. */
export function decodeEntry(entry: Buffer, session: Buffer): History | undefined {
  if (entry.length < headerBytes || entry.readUInt8(0) !== version) return undefined
  if (entry.readUInt32BE(checkedFrom) !== entry.length - headerBytes) return undefined
  if (entry.readUInt32BE(checksumAt) !== crc32(entry.subarray(checkedFrom))) return undefined
  if (!entry.subarray(hashAt, headerBytes).equals(session)) return undefined
  const history = fromJson(entry.toString('utf8', headerBytes))
  return isHistory(history) ? history : undefined
}

/** A turn that the store has just committed, and how the session's revision moved with it. */
export interface Extension {
  readonly from: string
  readonly to: string
  readonly turn: HistoryTurn
  /** How many messages a window of this session may ask for; older whole exchanges fall out. */
  readonly keepMessages: number
}

/**
 * The entry as it stands after one more turn, named by the new revision. `undefined`, which means drop it, unless the
 * entry is the history that the turn was added to, without the turn, and the turn's exchange is whole in it.
 */
export function extendHistory(entry: History, extension: Extension): History | undefined {
  const { from, to, turn, keepMessages } = extension
  if (entry.revision !== from || from === to) return undefined
  if (entry.turns.some((known) => known.turn === turn.turn)) return undefined
  if (!holdsExchangeOf(entry, turn)) return undefined
  // A running exchange that is longer than the limit stands in a history in part: true for that prompt, not for the next.
  const whole = entry.turns.filter((known) => known.exchange >= entry.from)
  const reach = entry.reach + turn.messages.length
  return trimmed(
    { revision: to, system: entry.system, turns: placed(whole, turn), from: entry.from, reach },
    keepMessages,
  )
}

function holdsExchangeOf(entry: History, turn: HistoryTurn): boolean {
  if (turn.exchange < entry.from) return false
  return turn.exchange === turn.turn || entry.turns.some((known) => known.exchange === turn.exchange)
}

/** In prompt order: a turn that joins an earlier exchange, or was asked earlier and answered later, stands before the others. */
function placed(turns: readonly HistoryTurn[], turn: HistoryTurn): HistoryTurn[] {
  const later = turns.findIndex((known) => comparePlaces(known, turn) > 0)
  return later < 0 ? [...turns, turn] : turns.toSpliced(later, 0, turn)
}

const comparePlaces = (one: HistoryTurn, other: HistoryTurn): number =>
  one.exchange - other.exchange || one.turn - other.turn

/**
 * The newest whole exchanges that fit in `keepMessages`, as the store would read them; and the newest one in any case,
 * because its tool steps may go on.
 */
function trimmed(history: History, keepMessages: number): History {
  const { turns } = history
  let reach = 0
  let front = turns.length
  for (let index = turns.length - 1; index >= 0; index--) {
    reach += turns[index]!.messages.length
    if (turns[index - 1]?.exchange === turns[index]!.exchange) continue
    if (reach > keepMessages && front < turns.length)
      return { ...history, turns: turns.slice(front), from: turns[front]!.exchange, reach }
    front = index
  }
  return history
}

function toJson({ revision, system, turns, from, reach }: History): string | undefined {
  try {
    return JSON.stringify({ revision, system, turns, from, reach })
  } catch {
    return undefined
  }
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isHistory = (value: unknown): value is History =>
  isObject(value) &&
  typeof value['revision'] === 'string' &&
  typeof value['from'] === 'number' &&
  typeof value['reach'] === 'number' &&
  Array.isArray(value['system']) &&
  Array.isArray(value['turns'])
