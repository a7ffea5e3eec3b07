import { HistoryUnavailable } from '../model/errors.js'
import type { SessionKey } from '../model/session.js'
import type { Database } from './database.js'
import { asFault, isTransient, retrying } from './faults.js'

/** The first column is the status, the rest as the function declares it. */
export type LaneRow = readonly unknown[]

interface Entry {
  readonly session: SessionKey
  /** The call as JSON text, with its user and session. */
  readonly text: string
  readonly resolve: (row: LaneRow) => void
  readonly reject: (error: unknown) => void
}

export interface LaneOptions {
  readonly database: Database
  /** The stored function's quoted name. */
  readonly procedure: string
  /** Calls that may be unanswered at once; one more is refused. */
  readonly queue: number
  /** For distributed databases: every call is a statement of its own. */
  readonly single: boolean
}

const mostCallsInBatch = 64
/** A batch takes half of what is unanswered, and at least this many: this process works on one half while Postgres works on the other. */
const leastHalf = 16
/** Where a statement takes longer, most of it is waiting, for a slow disk or a database that is away: then all that waits goes together. */
const longestHalvedMs = 5
const mostCharactersInBatch = 4 * 1024 * 1024
/** Statements at once when every call is its own. */
const singleFlights = 8
/** Sessions whose row another process holds that are waited for at once. */
const mostWaits = 4

/**
 * Calls of one stored function that share a commit: one statement is in flight, and what arrives meanwhile
 * shares the next ones, in the order of (user, session). A lone call leaves at once. A row that another process holds is
 * skipped, and its calls follow in a statement that waits, so that nobody else waits with them.
 */
export class Lane {
  private readonly arrived: Entry[] = []
  private readonly held = new Map<string, Entry[]>()
  private readonly heldPlaces: string[] = []
  private unanswered = 0
  private flights = 0
  /** How long the last batch took, in milliseconds. */
  private lastMs = 0
  private waits = 0
  private readonly one: string
  private readonly many: string

  constructor(private readonly options: LaneOptions) {
    const { procedure } = options
    this.one = `select * from ${procedure}($1, $2, $3::jsonb, $4)`
    this.many = `select f.* from jsonb_array_elements($1::jsonb) with ordinality as u(call, place),
      lateral ${procedure}(u.call->>'user', u.call->>'session', u.call, $2::boolean) as f order by u.place`
  }

  /** Resolves to the function's row; rejects with one of our own errors when the store cannot answer. */
  call(session: SessionKey, text: string): Promise<LaneRow> {
    if (this.unanswered >= this.options.queue) {
      return Promise.reject(
        new HistoryUnavailable(undefined, 'Too many turns wait for the database. Try again shortly.'),
      )
    }
    this.unanswered++
    return new Promise<LaneRow>((resolve, reject) => {
      this.arrived.push({ session, text, resolve, reject })
      this.leave()
    }).finally(() => this.unanswered--)
  }

  private leave(): void {
    const most = this.options.single ? singleFlights : 1
    while (this.flights < most && this.arrived.length > 0) {
      this.flights++
      const batch = take(this.arrived, this.share())
      const leftAt = performance.now()
      void this.fly(batch, this.options.single).finally(() => {
        this.lastMs = performance.now() - leftAt
        this.flights--
        this.leave()
      })
    }
  }

  private share(): number {
    if (this.options.single) return 1
    if (this.lastMs > longestHalvedMs) return mostCallsInBatch
    return Math.min(Math.max(Math.ceil(this.unanswered / 2), leastHalf), mostCallsInBatch)
  }

  /** Never rejects: every entry gets its own answer. */
  private async fly(batch: readonly Entry[], wait: boolean): Promise<void> {
    try {
      const rows = await retrying(
        () => this.ask(batch, wait),
        this.options.database.deadlines.retryMs,
        isTransient,
      )
      for (const [index, entry] of batch.entries()) this.land(entry, rows[index]!)
    } catch (error) {
      // One bad call must not fail the others.
      if (batch.length > 1 && !isTransient(error)) {
        for (const entry of batch) await this.fly([entry], wait)
        return
      }
      for (const entry of batch) entry.reject(asFault(error))
    }
  }

  private async ask(batch: readonly Entry[], wait: boolean): Promise<readonly LaneRow[]> {
    const { database } = this.options
    // Taking a list apart costs Postgres as much as half the call: a lone one goes as it is.
    if (batch.length === 1) {
      const { session, text } = batch[0]!
      return database.arrays({ text: this.one, values: [session.userId, session.sessionId, text, wait] })
    }
    const calls = `[${batch.map((entry) => entry.text).join(',')}]`
    return database.arrays({ text: this.many, values: [calls, wait] })
  }

  private land(entry: Entry, row: LaneRow): void {
    if (row[0] !== 'locked') {
      entry.resolve(row)
      return
    }
    const place = JSON.stringify([entry.session.userId, entry.session.sessionId])
    const group = this.held.get(place)
    if (group !== undefined) {
      group.push(entry)
      return
    }
    this.held.set(place, [entry])
    this.heldPlaces.push(place)
    this.follow()
  }

  private follow(): void {
    while (this.waits < mostWaits && this.heldPlaces.length > 0) {
      this.waits++
      void this.flyHeld(this.heldPlaces.shift()!).finally(() => {
        this.waits--
        this.follow()
      })
    }
  }

  /** One session's calls, waiting for its row: one lock alone, so nothing to deadlock with. */
  private async flyHeld(place: string): Promise<void> {
    const group = this.held.get(place)!
    await this.fly(take(group, mostCallsInBatch), true)
    if (group.length > 0) this.heldPlaces.push(place)
    else this.held.delete(place)
  }
}

/** The next entries within both caps, in the order of (user, session): all processes lock rows in one order. */
function take(queue: Entry[], most: number): Entry[] {
  let count = 0
  let characters = 0
  for (const { text } of queue) {
    characters += text.length
    if (count === most || (count > 0 && characters > mostCharactersInBatch)) break
    count++
  }
  return queue.splice(0, count).sort(byPlace)
}

function byPlace(a: Entry, b: Entry): number {
  return compare(a.session.userId, b.session.userId) || compare(a.session.sessionId, b.session.sessionId)
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
