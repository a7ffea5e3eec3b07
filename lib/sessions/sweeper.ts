import { randomUUID } from 'node:crypto'

import type { Cache } from '../cache/cache.js'
import type { SessionKey } from '../model/session.js'
import type { PurgeStep, Store } from '../store/store.js'

/** What a sweep did. */
export interface Swept {
  /** Sessions of which nothing is left. */
  readonly purgedSessions: number
  /** Turns of dead processes that were closed as `interrupted`. */
  readonly closedTurns: number
}

export interface SweeperOptions {
  /** How long ago a session must have been deleted or have expired; without it none is purged. */
  readonly retentionSeconds: number | undefined
  /** How often it sweeps by itself; 0 never. */
  readonly intervalSeconds: number
  readonly onFault: (error: unknown) => void
}

const leaseName = 'sweep'
/** Longer than a batch may take: each renews it. */
const leaseMs = 60_000
/** Sessions looked at in one statement. */
const pageSessions = 1_000
/** Sessions whose turns are closed before the lease is renewed. */
const closeSessions = 100
/** How often an entry is dropped that comes back: a drop may be lost while Redis fails. */
const mostDrops = 3

/** Purges what was deleted or has expired, and closes what dead processes left open. One process at a time, by a lease row. */
export class Sweeper {
  readonly #closing = new AbortController()
  readonly #timer: NodeJS.Timeout | undefined
  #running: Promise<Swept | undefined> | undefined

  constructor(
    private readonly store: Store,
    private readonly cache: Cache,
    private readonly options: SweeperOptions,
  ) {
    const { intervalSeconds, onFault } = options
    if (intervalSeconds > 0)
      this.#timer = setInterval(() => void this.sweep().catch(onFault), intervalSeconds * 1000).unref()
  }

  /** `undefined` while another process sweeps. Sweeps of this process share one run. */
  sweep(): Promise<Swept | undefined> {
    this.#running ??= this.#sweep().finally(() => (this.#running = undefined))
    return this.#running
  }

  /** Ends between two statements. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#closing.abort()
    await this.#running?.catch(() => undefined)
  }

  async #sweep(): Promise<Swept | undefined> {
    await this.cache.ready()
    const holder = randomUUID()
    const renew = async (): Promise<boolean> =>
      !this.#closing.signal.aborted && (await this.store.holdLease(leaseName, holder, leaseMs))
    if (!(await renew())) return undefined
    try {
      const closedTurns = await this.#closeTurns(renew)
      return { closedTurns, purgedSessions: await this.#purgeSessions(renew) }
    } finally {
      await this.store.releaseLease(leaseName, holder)
    }
  }

  async #closeTurns(renew: () => Promise<boolean>): Promise<number> {
    let closed = 0
    for (;;) {
      const more = await this.store.closeExpiredTurns(closeSessions)
      closed += more
      if (more === 0 || !(await renew())) return closed
    }
  }

  async #purgeSessions(renew: () => Promise<boolean>): Promise<number> {
    const { retentionSeconds } = this.options
    if (retentionSeconds === undefined) return 0
    let purged = 0
    let after: SessionKey | undefined
    do {
      const { sessions, next } = await this.store.listPurgeable({
        retentionSeconds,
        limit: pageSessions,
        ...(after && { after }),
      })
      for (const session of sessions) {
        if (!(await renew())) return purged
        await this.#forget(session)
        let step: PurgeStep
        do step = await this.store.purgeSession(session, retentionSeconds)
        while (step === 'more' && (await renew()))
        if (step === 'purged') purged++
      }
      after = next
    } while (after && (await renew()))
    return purged
  }

  /** The cache first: what dies in between is found again by the next sweep. Nothing is written there for a session that is gone. */
  async #forget(session: SessionKey): Promise<void> {
    for (let drops = 0; drops < mostDrops; drops++) {
      this.cache.drop(session)
      if (!(await this.cache.read(session))) return
    }
  }
}
