import { LRUCache } from 'lru-cache'

import type { History } from '../model/history.js'
import type { SessionKey } from '../model/session.js'
import type { Cache, CacheHit } from './cache.js'

/** How many sessions are remembered as moved by several processes, and for how long. */
const mostShared = 100_000
const sharedMs = 10 * 60 * 1000

/**
 * Several caches as one, the nearest first. A session that other processes move too is looked for in the farthest first:
 * what is near is mostly behind then. Of no layers it is the cache that never knows anything.
 */
export class LayeredCache implements Cache {
  readonly #layers: readonly Cache[]
  readonly #farthestFirst: readonly Cache[]
  readonly #shared = new LRUCache<string, true>({ max: mostShared, ttl: sharedMs })

  constructor(layers: readonly Cache[]) {
    this.#layers = layers
    this.#farthestFirst = layers.toReversed()
  }

  async ready(): Promise<void> {
    await Promise.all(this.#layers.map((layer) => layer.ready()))
  }

  async read(session: SessionKey): Promise<CacheHit | undefined> {
    const isShared = this.#shared.has(nameOf(session))
    const order = isShared ? this.#farthestFirst : this.#layers
    for (const layer of order) {
      const hit = await layer.read(session)
      if (!hit) continue
      // Known to others and not here: somebody else has written it.
      if (layer !== this.#layers[0]) this.#share(session)
      return hit
    }
    return undefined
  }

  write(session: SessionKey, history: History): void {
    for (const layer of this.#layers) layer.write(session, history)
  }

  stale(session: SessionKey): void {
    this.#share(session)
  }

  drop(session: SessionKey): void {
    for (const layer of this.#layers) layer.drop(session)
  }

  async close(): Promise<void> {
    await Promise.all(this.#layers.map((layer) => layer.close()))
  }

  #share(session: SessionKey): void {
    if (this.#layers.length > 1) this.#shared.set(nameOf(session), true)
  }
}

const nameOf = ({ userId, sessionId }: SessionKey): string => `${userId.length}:${userId}${sessionId}`
