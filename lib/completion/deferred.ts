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
  /** How many bytes their messages may have, as JSON. */
  readonly maxBytes: number
  readonly onGivenUp: (call: CompleteCall, error: unknown) => void
  readonly onStored: (call: CompleteCall, result: CompleteResult) => void
}

/**
 * Answers whose commit failed after the client had to be served. They are tried again in the order they came,
 * before the next begin of their session in this process, and when the process closes.
 */
export class DeferredAnswers {
  /** In the order they came, with their bytes. */
  readonly #waiting = new Map<CompleteCall, number>()
  #bytes = 0
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
    const { capacity, maxBytes } = this.options
    const bytes = Buffer.byteLength(JSON.stringify(call.answer))
    const isFull = this.#waiting.size >= capacity || this.#bytes + bytes > maxBytes
    if (this.#closed || isFull) {
      const why = this.#closed ? 'has closed' : 'is full'
      this.options.onGivenUp(call, new Error(`The queue of deferred answers ${why}.`))
      return false
    }
    this.#waiting.set(call, bytes)
    this.#bytes += bytes
    if (!this.#running) void this.#run()
    return true
  }

  /** Try what waits for this session, once. Rejects as the store does: a begin must not overtake an answer. */
  async flushSession(session: SessionKey): Promise<void> {
    if (this.#waiting.size === 0) return
    for (const call of this.#waiting.keys()) {
      if (call.userId === session.userId && call.sessionId === session.sessionId) await this.#store(call)
    }
  }

  /** Try everything once more, then give up what still fails. */
  async close(): Promise<void> {
    this.#stop.abort()
    const tries = [...this.#waiting.keys()].map((call) =>
      this.#store(call).catch((error: unknown) => this.#giveUp(call, error)),
    )
    await Promise.all(tries)
  }

  /** Nothing is taken any more; what waits is given up, and said so. */
  giveUp(): void {
    this.#stop.abort()
    this.#closed = true
    for (const call of this.#waiting.keys())
      this.#giveUp(call, new Error('The store was away until the end.'))
  }

  #giveUp(call: CompleteCall, error: unknown): void {
    if (this.#remove(call)) this.options.onGivenUp(call, error)
  }

  /** False when somebody else has taken it out. */
  #remove(call: CompleteCall): boolean {
    this.#bytes -= this.#waiting.get(call) ?? 0
    return this.#waiting.delete(call)
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
    for (const call of this.#waiting.keys()) {
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
      if (this.#remove(call)) this.options.onStored(call, result)
    } catch (error) {
      // What the store cannot hold would fail each time, and stop its session.
      if (!(error instanceof InvalidRequest)) throw error
      this.#giveUp(call, error)
    }
  }
}
