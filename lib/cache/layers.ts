import type { History } from '../model/history.js'
import type { SessionKey } from '../model/session.js'
import type { Cache, CacheHit } from './cache.js'

/** Several caches as one, the nearest first: the first that knows the session answers and fills those before it. Of no layers it is the cache that never knows anything. */
export class LayeredCache implements Cache {
  #layers: readonly Cache[]

  constructor(layers: readonly Cache[]) {
    this.#layers = layers
  }

  async ready(): Promise<void> {
    await Promise.all(this.#layers.map((layer) => layer.ready()))
  }

  async read(session: SessionKey): Promise<CacheHit | undefined> {
    for (const [index, layer] of this.#layers.entries()) {
      const hit = await layer.read(session)
      if (!hit) continue
      for (const nearer of this.#layers.slice(0, index)) nearer.write(session, hit.history)
      return hit
    }
    return undefined
  }

  write(session: SessionKey, history: History): void {
    for (const layer of this.#layers) layer.write(session, history)
  }

  drop(session: SessionKey): void {
    for (const layer of this.#layers) layer.drop(session)
  }

  async close(): Promise<void> {
    await Promise.all(this.#layers.map((layer) => layer.close()))
  }
}
