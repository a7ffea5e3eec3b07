import {
  circuitBreaker,
  CircuitState,
  ConsecutiveBreaker,
  CountBreaker,
  ExponentialBackoff,
  handleAll,
  halfJitterGenerator,
  type CircuitBreakerPolicy,
  type IBreaker,
} from 'cockatiel'

/** Whether the service behind a breaker is being asked; `reason` is an error's code or name, never its text. */
export type BreakerState =
  { readonly state: 'available' } | { readonly state: 'unavailable'; readonly reason: string }

export interface BreakerOptions {
  /** How long anybody waits for a reply, in milliseconds. */
  readonly deadlineMs: number
  /** Commands that may be without a reply at once; beyond that none is sent. */
  readonly maxPending: number
  /** Asks whether the service works again for the key that it failed on. */
  readonly probe: (key: string) => Promise<unknown>
  /** Told of each change, and of nothing else. */
  readonly onState: (state: BreakerState) => void
}

const lostProbeMs = 30_000

/** A reply that took longer than the deadline. What was asked for may still happen. */
class DeadlineMissed extends Error {
  readonly code = 'deadline'
}

/**
 * Sends commands to a service that may be down, slow or gone. After five faults in a row, or more than two fifths of
 * the last twenty calls, nothing is sent; a probe finds out when it works again, behind a request that does not wait for it.
 */
export class Breaker {
  #options: BreakerOptions
  #policy: CircuitBreakerPolicy
  #pending = 0
  #probingUntil = 0
  #suspect = ''
  #told: BreakerState['state'] = 'available'

  constructor(options: BreakerOptions) {
    this.#options = options
    this.#policy = circuitBreaker(handleAll, {
      breaker: either(new ConsecutiveBreaker(5), new CountBreaker({ threshold: 0.4, size: 20 })),
      // Half to all of 1 s, then of 2 s: no probe is later than 2 s after the service returned, and no request waits for one.
      halfOpenAfter: new ExponentialBackoff({
        generator: halfJitterGenerator,
        initialDelay: 1000,
        maxDelay: 2000,
      }),
    })
    this.#policy.onBreak((why) => this.#tell({ state: 'unavailable', reason: reasonOf(why) }))
    this.#policy.onReset(() => this.#tell({ state: 'available' }))
  }

  /** The reply, or nothing where there was none in time. Never rejects. */
  async run<T>(key: string, command: () => Promise<T>): Promise<T | undefined> {
    if (this.#policy.state !== CircuitState.Closed) return this.#probe()
    if (this.#pending >= this.#options.maxPending) return undefined
    try {
      return await this.#policy.execute(() => this.#send(command))
    } catch {
      this.#suspect = key
      return undefined
    }
  }

  /**
   * One at a time, and the next when the last has its reply, however late: a frozen service collects no probes. After
   * half a minute another goes out, in case a client has lost the last.
   */
  #probe(): undefined {
    if (performance.now() < this.#probingUntil) return
    const ask = (): Promise<unknown> => {
      this.#probingUntil = performance.now() + lostProbeMs
      return this.#send(() => this.#options.probe(this.#suspect).finally(() => (this.#probingUntil = 0)))
    }
    this.#policy.execute(ask).catch(() => {})
  }

  #send<T>(command: () => Promise<T>): Promise<T> {
    this.#pending++
    const reply = start(command).finally(() => this.#pending--)
    return withinDeadline(reply, this.#options.deadlineMs)
  }

  /** Half-open and open again is no change for anybody: the service was away and still is. */
  #tell(now: BreakerState): void {
    if (now.state === this.#told) return
    this.#told = now.state
    this.#options.onState(now)
  }
}

/** Begins at once; a command that throws is a reply that rejects. */
const start = async <T>(command: () => Promise<T>): Promise<T> => command()

function withinDeadline<T>(reply: Promise<T>, deadlineMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    // After a blocked event loop timers run before sockets are read: a reply that has arrived meanwhile still counts.
    const missed = (): void => void setImmediate(() => reject(new DeadlineMissed()))
    const timer = setTimeout(missed, deadlineMs)
    reply.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

function either(...breakers: readonly IBreaker[]): IBreaker {
  return {
    state: undefined,
    success: (state) => breakers.forEach((breaker) => breaker.success(state)),
    failure: (state) => breakers.map((breaker) => breaker.failure(state)).includes(true),
  }
}

function reasonOf(why: object): string {
  const error: unknown = 'error' in why ? why.error : undefined
  if (!(error instanceof Error)) return 'unknown'
  if ('code' in error && typeof error.code === 'string') return error.code
  // Redis names its errors in the first word: OOM, READONLY, CLUSTERDOWN.
  return /^[A-Z]{3,}\b/.exec(error.message)?.[0] ?? error.name
}
