import type { ServerResponse } from 'node:http'

/** Whether the client of a request is there, from before its turn begins: an enqueued one may wait for long. */
export class Presence {
  readonly #gone = new AbortController()

  constructor(private readonly onDisconnect: 'abort' | 'finish') {}

  get signal(): AbortSignal {
    return this.#gone.signal
  }

  readonly leave = (): void => this.#gone.abort(new Error('The client is gone.'))

  /** What `work` comes to. With `abort` a client that goes away meanwhile is noticed; afterwards the tap looks after it. */
  async during<T>(res: ServerResponse, work: () => Promise<T>): Promise<T> {
    if (this.onDisconnect === 'finish') return work()
    if (res.closed) this.leave()
    res.once('close', this.leave)
    try {
      return await work()
    } finally {
      res.off('close', this.leave)
    }
  }

  /** The client has left, and this is how its request came to its end: nobody is left to answer. */
  ended(error: unknown): boolean {
    return this.signal.aborted && error === this.signal.reason
  }
}
