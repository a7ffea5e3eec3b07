import type { BreakerState } from './breaker.js'
import type { Cache } from './cache.js'
import type { RedisConnection } from './connection.js'
import { LayeredCache } from './layers.js'
import { MemoryCache } from './memory.js'
import { RedisCache } from './redis.js'

export interface CacheOptions {
  readonly redis: RedisConnection | undefined
  readonly windowTtlSeconds: number
  /** What the windows of this process may take; 0 keeps none. */
  readonly maxMemoryBytes: number
  readonly onState: (state: BreakerState) => void
}

/** The caches that were configured, the nearest first. Nothing connects before it is first used. */
export function openCache({ redis, windowTtlSeconds, maxMemoryBytes, onState }: CacheOptions): Cache {
  const layers: Cache[] = []
  if (maxMemoryBytes > 0) layers.push(new MemoryCache({ maxBytes: maxMemoryBytes, windowTtlSeconds }))
  if (redis !== undefined) layers.push(new RedisCache({ connection: redis, windowTtlSeconds, onState }))
  return new LayeredCache(layers)
}
