/** Microseconds of the machine's monotonic clock, which all processes share. */
export const now = (): number => Number(process.hrtime.bigint() / 1000n)

/** What a client knows of one request for a completion. */
export interface Attempt {
  readonly id: string
  readonly session: string
  /** The same for every repetition of one question. */
  readonly operation: string
  readonly key?: string
  readonly question: string
  /** The handler is asked to discard the turn. */
  readonly discards?: boolean
  readonly sentAt: number
  readonly endedAt: number
  /**
   * `acknowledged`: the whole answer came, and nothing said that it was not stored. `failed`: the provider's error came.
   * `discarded`: the handler said so. `unknown`: anything else, whatever became of the turn.
   */
  readonly outcome: 'acknowledged' | 'failed' | 'discarded' | 'unknown'
  /** The turn's number, once its response's head came. */
  readonly turn?: number
  readonly answer?: string
  /** The answer was given before and is given again. */
  readonly replayed?: boolean
  /** The status of the response, for statistics. */
  readonly status?: number
}

/** A clear or delete as its client knows it. */
export interface Change {
  readonly session: string
  readonly kind: 'clear' | 'delete'
  readonly sentAt: number
  readonly endedAt: number
  readonly outcome: 'acknowledged' | 'unknown'
}

/** Role and content. */
export type Said = readonly [string, string]

/** What reached the provider, and what it was going to answer. */
export interface Prompt {
  readonly attempt: string
  readonly session: string
  readonly turn: number
  readonly at: number
  readonly messages: readonly Said[]
  readonly answer: string
  /** It was begun while one database took the place of another: only the origin of its answer counts. */
  readonly between?: boolean
}

export interface StoredTurn {
  readonly turn: number
  readonly status: 'open' | 'done' | 'interrupted' | 'failed' | 'superseded'
  readonly question: readonly Said[]
  readonly answer: readonly Said[]
}

/** A session as the database holds it. */
export interface SessionState {
  readonly limit: number
  readonly turnCount: number
  readonly messageCount: number
  readonly clearedAt: number
  readonly isActive: boolean
  readonly turns: readonly StoredTurn[]
}

/** All that is known of one session when the dust has settled. */
export interface SessionRecord {
  readonly session: string
  readonly attempts: readonly Attempt[]
  readonly prompts: readonly Prompt[]
  readonly changes: readonly Change[]
  /** Nothing when the database does not know the session. */
  readonly state: SessionState | undefined
  /** The messages as the session routes list them; absent where nobody asked. */
  readonly listed?: readonly Said[]
}

/** Items by a name of theirs, in their order. */
export function grouped<T>(items: Iterable<T>, nameOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const name = nameOf(item)
    const group = groups.get(name)
    if (group) group.push(item)
    else groups.set(name, [item])
  }
  return groups
}
