import { setTimeout as sleep } from 'node:timers/promises'

import type { SessionKey } from '../model/session.js'
import type { Store } from '../store/store.js'

/** The pause between two looks at the turns before this one, in milliseconds: doubled each time, within these bounds. */
const firstPauseMs = 50
const longestPauseMs = 1_000

/** An enqueued turn: numbered, its question stored, and not yet asked. */
export interface WaitingTurn extends SessionKey {
  readonly turn: number
  readonly nonce: string
  readonly leaseMs: number
}

export interface WaitOptions {
  readonly longestMs: number
  readonly renewEveryMs: number
  readonly signal: AbortSignal
  /** Resolves when a turn of this process ends, so that nobody sleeps on; nothing when it is another process's. */
  readonly endOf: (turn: number) => Promise<unknown> | undefined
}

/**
 * Wait until no lower turn of the session is open, keeping the waiting turn's own lease. False when the time was up.
 * Rejects with the signal's reason, and as the store does.
 */
export async function waitForTurns(
  store: Pick<Store, 'openBefore' | 'renewLease'>,
  waiting: WaitingTurn,
  { longestMs, renewEveryMs, signal, endOf }: WaitOptions,
): Promise<boolean> {
  const end = performance.now() + longestMs
  let renewAt = performance.now() + renewEveryMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    signal.throwIfAborted()
    const before = await store.openBefore(waiting)
    if (before === undefined) return true
    const now = performance.now()
    if (now >= end) return false
    if (now >= renewAt) {
      await store.renewLease(waiting)
      renewAt = now + renewEveryMs
    }
    await pause(Math.min(pauseMs * (0.5 + Math.random()), renewEveryMs, end - now), signal, endOf(before))
  }
}

/** Sleeps; an abort and the awaited end wake it up. */
async function pause(ms: number, signal: AbortSignal, end: Promise<unknown> | undefined): Promise<void> {
  const woken = new AbortController()
  const slept = sleep(ms, undefined, { signal: AbortSignal.any([signal, woken.signal]) }).catch(
    () => undefined,
  )
  await (end ? Promise.race([slept, end]) : slept)
  woken.abort()
}
