import { isDeepStrictEqual } from 'node:util'

import type { Turn } from '../../lib/completion/turn.js'
import type { Message } from '../../lib/model/message.js'
import { PostgresStore } from '../../lib/store/postgres.js'
import type { BeginCall, BeginResult, Begun } from '../../lib/store/store.js'
import { cutWindow } from '../../lib/window/window.js'
import { openaiChat } from '../../lib/wire/openai.js'

/** What became of the windows that were taken from a cache. */
export interface Verdicts {
  /** Equal to what Postgres gave for the same turn. */
  right: number
  /** Postgres had moved on before it could be asked. */
  unknown: number
  readonly wrong: string[]
}

/**
 * Whenever a begin believes a cached history, this store reads what Postgres has. Revisions are random, so one that is
 * read at the revision that the begin named is what the begin would have been given.
 */
export class WatchedStore extends PostgresStore {
  readonly verdicts: Verdicts = { right: 0, unknown: 0, wrong: [] }
  readonly #truths = new Map<string, readonly Message[]>()

  override async beginTurn(call: BeginCall): Promise<BeginResult> {
    const result = await super.beginTurn(call)
    if (result.status === 'begun' && result.history === undefined) await this.#readTruth(call, result)
    return result
  }

  /** Hold the window of a turn that has just begun against Postgres'. */
  judge(userId: string, turn: Turn): void {
    const place = placeOf({ userId, sessionId: turn.sessionId }, turn.number)
    const truth = this.#truths.get(place)
    if (truth === undefined) return
    this.#truths.delete(place)
    if (isDeepStrictEqual(truth, turn.messages)) this.verdicts.right++
    else this.verdicts.wrong.push(JSON.stringify({ place, truth, given: turn.messages }))
  }

  async #readTruth(call: BeginCall, begun: Begun): Promise<void> {
    const { userId, sessionId, answers } = call
    // Changing the session's own limit moves no revision.
    const limit = call.limit ?? begun.settings.maxHistoryMessages
    const read = await this.readHistory({ userId, sessionId, joins: answers, limit })
    if (read?.history.revision !== begun.revision) {
      this.verdicts.unknown++
      return
    }
    const { system, messages } = cutWindow({
      history: read.history,
      question: call.question,
      ...(begun.exchange !== begun.turn && { exchange: begun.exchange }),
      limit,
      pairs: openaiChat,
    })
    this.#truths.set(placeOf(call, begun.turn), [...system, ...messages])
  }
}

const placeOf = ({ userId, sessionId }: { userId: string; sessionId: string }, turn: number): string =>
  JSON.stringify([userId, sessionId, turn])
