import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Cache } from '../cache/cache.js'
import type { HistoryTurn } from '../model/history.js'
import { summaryMessage } from '../model/message.js'
import type { SessionKey } from '../model/session.js'
import type { Store } from '../store/store.js'
import type { Counting } from './counting.js'

/**
 * The host's own way to say in few words what turns said: whole exchanges, oldest first, and the summary of what came before
 * them, which the new one is to take in. Text that people wrote may try to give orders; what is returned is sent as a system message.
 */
export type Summarize = (
  turns: readonly HistoryTurn[],
  previous: string | undefined,
) => string | Promise<string>

export interface SummariesOptions {
  readonly summarize: Summarize
  readonly onFault: (error: unknown, session: SessionKey) => void
}

/** How long a summary may take. After a failure the session is left alone for as long: its oldest messages drop out meanwhile. */
const longestMs = 60_000
const leaseMs = longestMs + 10_000

/** What a summary is made for. */
export interface SummaryNeed extends SessionKey {
  readonly model: string | undefined
  /** Messages of the history that the last prompt carried. The newest half of as many stays as it is. */
  readonly sent: number
}

/** Makes summaries of what fell out of a prompt, behind the answer. A failure means that it stays out. */
export class Summaries {
  readonly #running = new Set<string>()
  #closed = false

  constructor(
    private readonly store: Store,
    private readonly cache: Cache,
    private readonly counting: Counting,
    private readonly options: SummariesOptions,
  ) {}

  /** Nobody waits for it, and it never throws. */
  start(need: SummaryNeed): void {
    const name = JSON.stringify([need.userId, need.sessionId])
    if (this.#closed || this.#running.has(name)) return
    this.#running.add(name)
    this.#run(need)
      .catch((error: unknown) => {
        if (!this.#closed) this.options.onFault(error, { userId: need.userId, sessionId: need.sessionId })
      })
      .finally(() => this.#running.delete(name))
  }

  /** What is being made is not kept; another process makes it again. */
  close(): void {
    this.#closed = true
  }

  async #run({ userId, sessionId, model, sent }: SummaryNeed): Promise<void> {
    const claim = { userId, sessionId, nonce: randomUUID() }
    const claimed = await this.store.claimSummary({ ...claim, leaseMs })
    const turns = claimed ? olderThan(claimed.turns, sent / 2) : []
    const to = turns.at(-1)?.exchange
    if (!claimed || to === undefined) return
    const text = await withinTime(this.options.summarize(turns, claimed.previous))
    if (this.#closed) return
    const [counted] = await this.counting.counted([summaryMessage(text, to)], model)
    const { tokens } = counted!
    const isSaved = await this.store.saveSummary({
      ...claim,
      to,
      text,
      ...(tokens !== undefined && { tokens }),
    })
    if (isSaved) this.cache.drop({ userId, sessionId })
  }
}

/** The turns of all exchanges but the newest ones that hold `keep` messages together; the newest one stays in any case. */
function olderThan(turns: readonly HistoryTurn[], keep: number): readonly HistoryTurn[] {
  let front = turns.length
  let kept = 0
  for (let at = turns.length - 1; at >= 0; at--) {
    kept += turns[at]!.messages.length
    if (turns[at - 1]?.exchange === turns[at]!.exchange) continue
    if (front < turns.length && kept > keep) break
    front = at
  }
  return turns.slice(0, front)
}

async function withinTime(said: string | Promise<string>): Promise<string> {
  const done = new AbortController()
  const late = sleep(longestMs, undefined, { ref: false, signal: done.signal }).then(
    () => {
      throw new Error('The summary took too long.')
    },
    () => '',
  )
  try {
    const text: unknown = await Promise.race([said, late])
    if (typeof text === 'string' && text.trim() !== '') return text
    throw new Error('summarize must return text.')
  } finally {
    done.abort()
  }
}
