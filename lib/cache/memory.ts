import { LRUCache } from 'lru-cache'

import type { History, HistoryTurn } from '../model/history.js'
import type { SessionKey } from '../model/session.js'
import type { Cache, CacheHit } from './cache.js'

export interface MemoryCacheOptions {
  /** What all entries together may take, in bytes. Default 64 MiB. */
  readonly maxBytes?: number
  /** A larger history is not kept, in bytes. Default 256 KiB. */
  readonly maxEntryBytes?: number
  /** Seconds until an entry that nobody wrote again is forgotten. Default 3600. */
  readonly windowTtlSeconds?: number
}

/** The hot windows of this process, as they were written. */
export class MemoryCache implements Cache {
  #entries: LRUCache<string, History>

  constructor(options: MemoryCacheOptions = {}) {
    const { maxBytes = 64 * 1024 * 1024, maxEntryBytes = 256 * 1024, windowTtlSeconds = 3600 } = options
    this.#entries = new LRUCache<string, History>({
      maxSize: maxBytes,
      maxEntrySize: Math.min(maxBytes, maxEntryBytes),
      ttl: windowTtlSeconds * 1000,
      sizeCalculation: bytesOfHistory,
    })
  }

  async ready(): Promise<void> {}

  async read(session: SessionKey): Promise<CacheHit | undefined> {
    const kept = this.#entries.get(nameOf(session))
    return kept && { history: kept, layer: 'memory' }
  }

  write(session: SessionKey, history: History): void {
    // lru-cache deletes what was there when the new entry is over its cap.
    this.#entries.set(nameOf(session), history)
  }

  stale(): void {}

  drop(session: SessionKey): void {
    this.#entries.delete(nameOf(session))
  }

  async close(): Promise<void> {
    this.#entries.clear()
  }
}

const nameOf = ({ userId, sessionId }: SessionKey): string => `${userId.length}:${userId}${sessionId}`

/** A history is followed by one with the same turns and another: each is measured once. */
const bytesOfTurns = new WeakMap<HistoryTurn, number>()

function bytesOfTurn(turn: HistoryTurn): number {
  const known = bytesOfTurns.get(turn)
  if (known !== undefined) return known
  const bytes = bytesOf(turn)
  bytesOfTurns.set(turn, bytes)
  return bytes
}

const bytesOfHistory = ({ turns, ...rest }: History): number =>
  turns.reduce((sum, turn) => sum + 8 + bytesOfTurn(turn), bytesOf(rest))

/** An upper estimate of what a value takes in V8's heap: two bytes a character, and room for headers and fields. */
function bytesOf(value: unknown): number {
  if (typeof value === 'string') return 24 + 2 * value.length
  if (typeof value !== 'object' || value === null) return 8
  return Object.values(value).reduce<number>((sum, item) => sum + 8 + bytesOf(item), 56)
}
