import { setTimeout as sleep } from 'node:timers/promises'

import type { Cache, CacheHit } from '../../lib/cache/cache.js'
import type { History } from '../../lib/model/history.js'
import type { SessionKey } from '../../lib/model/session.js'

const chance = (share: number): boolean => Math.random() < share
const longestDelayMs = 30
const mostRemembered = 500

/** A cache that loses, delays, reorders and repeats what it is told, and now and then writes again what it was told long ago. */
export class FaultyCache implements Cache {
  readonly #told: [SessionKey, History][] = []

  constructor(private readonly inner: Cache) {}

  ready(): Promise<void> {
    return this.inner.ready()
  }

  async read(session: SessionKey): Promise<CacheHit | undefined> {
    if (chance(0.05)) await sleep(Math.random() * longestDelayMs)
    return this.inner.read(session)
  }

  write(session: SessionKey, history: History): void {
    this.#told[Math.floor(Math.random() * mostRemembered)] = [session, history]
    this.#sometime(() => this.inner.write(session, history))
    if (chance(0.1)) this.#later(() => this.inner.write(session, history))
    const old = this.#told[Math.floor(Math.random() * mostRemembered)]
    if (old && chance(0.2)) this.inner.write(...old)
    if (chance(0.05)) this.inner.drop(session)
  }

  stale(session: SessionKey): void {
    this.inner.stale(session)
  }

  drop(session: SessionKey): void {
    this.#sometime(() => this.inner.drop(session))
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  #sometime(work: () => void): void {
    if (chance(0.05)) return
    if (chance(0.3)) this.#later(work)
    else work()
  }

  #later(work: () => void): void {
    setTimeout(work, Math.random() * longestDelayMs)
  }
}
