import { setTimeout as sleep } from 'node:timers/promises'

import { InvalidRequest } from '../model/errors.js'
import type { SessionKey } from '../model/session.js'
import type { CompleteCall, CompleteResult, Store } from '../store/store.js'

/** The pause between two tries of a deferred answer, in milliseconds: doubled each time, within these bounds. */
const firstPauseMs = 250
const longestPauseMs = 10_000

export interface DeferredOptions {
  /** How many answers may wait; one more is given up, and said so. */
  readonly capacity: number
  readonly onGivenUp: (call: CompleteCall, error: unknown) => void
  readonly onStored: (call: CompleteCall, result: CompleteResult) => void
}

/**
 * Answers whose commit failed after the client had to be served. They are tried again in the order they came,
 * before the next begin of their session in this process, and when the process closes.
 */
export class DeferredAnswers {
  readonly #waiting = new Set<CompleteCall>()
  readonly #stop = new AbortController()
  #running = false
  #closed = false

  constructor(
    private readonly store: Store,
    private readonly options: DeferredOptions,
  ) {}

  get size(): number {
    return this.#waiting.size
  }

  /** False when the queue is full: the answer is given up. */
  add(call: CompleteCall): boolean {
    if (this.#closed || this.#waiting.size >= this.options.capacity) {
      const why = this.#closed ? 'has closed' : 'is full'
      this.options.onGivenUp(call, new Error(`The queue of deferred answers ${why}.`))
      return false
    }
    this.#waiting.add(call)
    if (!this.#running) void this.#run()
    return true
  }

  /** Try what waits for this session, once. Rejects as the store does: a begin must not overtake an answer. */
  async flushSession(session: SessionKey): Promise<void> {
    if (this.#waiting.size === 0) return
    for (const call of this.#waiting) {
      if (call.userId === session.userId && call.sessionId === session.sessionId) await this.#store(call)
    }
  }

  /** Try everything once more, then give up what still fails. */
  async close(): Promise<void> {
    this.#stop.abort()
    const tries = [...this.#waiting].map((call) =>
      this.#store(call).catch((error: unknown) => this.#giveUp(call, error)),
    )
    await Promise.all(tries)
  }

  /** Nothing is taken any more; what waits is given up, and said so. */
  giveUp(): void {
    this.#stop.abort()
    this.#closed = true
    for (const call of this.#waiting) this.#giveUp(call, new Error('The store was away until the end.'))
  }

  #giveUp(call: CompleteCall, error: unknown): void {
    if (this.#waiting.delete(call)) this.options.onGivenUp(call, error)
  }

  async #run(): Promise<void> {
    this.#running = true
    let pauseMs = firstPauseMs
    while (this.#waiting.size > 0 && !this.#stop.signal.aborted) {
      await sleep(pauseMs, undefined, { ref: false, signal: this.#stop.signal }).catch(() => undefined)
      const stored = await this.#storeAll()
      pauseMs = stored ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs)
    }
    this.#running = false
  }

  async #storeAll(): Promise<boolean> {
    for (const call of this.#waiting) {
      if (this.#stop.signal.aborted) return true
      try {
        await this.#store(call)
      } catch {
        return false
      }
    }
    return true
  }

  async #store(call: CompleteCall): Promise<void> {
    try {
      const result = await this.store.completeTurn(call)
      if (this.#waiting.delete(call)) this.options.onStored(call, result)
    } catch (error) {
      // What the store cannot hold would fail each time, and stop its session.
      if (!(error instanceof InvalidRequest)) throw error
      this.#giveUp(call, error)
    }
  }
}
