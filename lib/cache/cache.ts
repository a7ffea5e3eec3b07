import type { History } from '../model/history.js'
import type { SessionKey } from '../model/session.js'

/** What a read found, and in which layer. */
export interface CacheHit {
  readonly history: History
  readonly layer: 'memory' | 'redis'
}

/**
 * The hot window. An entry is only ever a guess: the caller uses it at the revision that the store has just named,
 * so whatever a cache loses, keeps too long or writes too late changes latency and never content.
 * `ready` apart, no method rejects and none outlasts the cache's own deadline: a fault is a miss.
 */
export interface Cache {
  /** Resolves when the cache may be asked; connecting goes on behind it, and a cache that is down is no fault. Rejects with `Misconfigured` alone. */
  ready(): Promise<void>
  /** The newest history that this cache knows of the session, or nothing. Damaged and foreign entries are nothing. */
  read(session: SessionKey): Promise<CacheHit | undefined>
  /** Keep this history in place of whatever is there. Larger than the cap: the entry is dropped instead. Nobody waits for it. */
  write(session: SessionKey, history: History): void
  /** What `read` gave was not current: another process moves this session too. */
  stale(session: SessionKey): void
  /** Forget the session. */
  drop(session: SessionKey): void
  /** End the connections that are the cache's own; those of the host stay open. */
  close(): Promise<void>
}
