import type { Cache } from '../cache/cache.js'
import { extendHistory } from '../cache/entry.js'
import { InvalidRequest } from '../model/errors.js'
import { privateRevision, type History, type HistoryTurn } from '../model/history.js'
import type { HistoryMessage } from '../model/message.js'
import type { SessionKey } from '../model/session.js'
import type { CompleteCall, CompleteResult, Store } from '../store/store.js'
import { DeferredAnswers } from './deferred.js'
import type { Stored } from './turn.js'

/** How long the end of an answer is held back for its commit, in milliseconds (design, promise 1). */
const longestHoldMs = 2_000

export interface EndingOptions {
  readonly onStoreFailure: 'deliver' | 'fail'
  /** The questions of failed turns stay in the history. */
  readonly includeFailedQuestions: boolean
  /** How many answers may wait for a store that is away. */
  readonly deferredCapacity: number
  /** How many bytes they may have together. */
  readonly deferredBytes: number
  readonly onFault: (error: unknown, call: CompleteCall) => void
}

/** What was known when the turn began, from which the next cache entry is made. */
export interface Beginning {
  readonly history: History
  readonly exchange: number
  readonly question: readonly HistoryMessage[]
  /** Messages of history that the session's prompts may ask for. */
  readonly keepMessages: number
}

/** Commits the ends of turns and lets the cache follow. */
export class Ending {
  readonly deferred: DeferredAnswers

  constructor(
    private readonly store: Store,
    private readonly cache: Cache,
    private readonly options: EndingOptions,
  ) {
    this.deferred = new DeferredAnswers(store, {
      capacity: options.deferredCapacity,
      maxBytes: options.deferredBytes,
      onGivenUp: (call, error) => options.onFault(error, call),
      onStored: (call) => cache.drop(call),
    })
  }

  /** Resolves when the answer is durable or is known not to be; never later than the hold, and never rejects. */
  async commit(given: CompleteCall, beginning: Beginning): Promise<Stored> {
    const call = this.#asKept(given)
    try {
      const result = await this.#withinHold(call)
      if (result === undefined) return this.#defer(call)
      if (result.status === 'completed') {
        this.#follow(call, result, beginning).catch((error: unknown) => this.options.onFault(error, call))
      }
      if (result.status === 'completed' || result.status === 'repeated') {
        return call.answer.length > 0 ? 'stored' : 'nothing'
      }
      return 'refused'
    } catch (error) {
      this.options.onFault(error, call)
      return error instanceof InvalidRequest ? this.#giveUp(call) : this.#defer(call)
    }
  }

  /** An enqueued turn that never came to its place. Where the store is away, its lease closes it. */
  async failWaiting(turn: SessionKey & { readonly turn: number; readonly nonce: string }): Promise<void> {
    const call = this.#asKept({ ...turn, ending: 'failed', answer: [], calls: [] })
    await this.store.completeTurn(call).catch((error: unknown) => this.options.onFault(error, call))
  }

  #asKept(call: CompleteCall): CompleteCall {
    const isQuestionAlone = call.ending === 'failed' && call.answer.length === 0
    return isQuestionAlone && this.options.includeFailedQuestions ? { ...call, keepQuestion: true } : call
  }

  /** Nothing when the store does not answer in time: then the answer may or may not be committed, and a repeat settles it. */
  async #withinHold(call: CompleteCall): Promise<CompleteResult | undefined> {
    let hold: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      hold = setTimeout(resolve, longestHoldMs, undefined).unref()
    })
    try {
      return await Promise.race([this.store.completeTurn(call), late])
    } finally {
      clearTimeout(hold)
    }
  }

  /** The store cannot hold this answer, now or later: the turn has failed, and its session goes on. */
  async #giveUp({ userId, sessionId, turn, nonce, answer }: CompleteCall): Promise<Stored> {
    const failed = this.#asKept({ userId, sessionId, turn, nonce, ending: 'failed', answer: [], calls: [] })
    this.cache.drop(failed)
    // Where this fails too, the turn's lease closes it.
    await this.#withinHold(failed).catch(() => undefined)
    return this.#lost(answer)
  }

  #defer(call: CompleteCall): Stored {
    this.cache.drop(call)
    if (this.options.onStoreFailure === 'fail') return this.#lost(call.answer)
    return this.deferred.add(call) ? 'deferred' : 'lost'
  }

  #lost(answer: CompleteCall['answer']): Stored {
    return this.options.onStoreFailure === 'fail' && answer.length > 0 ? 'withheld' : 'lost'
  }

  /** Nobody waits for it. */
  async #follow(
    call: CompleteCall,
    result: CompleteResult & { status: 'completed' },
    beginning: Beginning,
  ): Promise<void> {
    if (result.from === result.to) return
    const turn = visibleTurn(call, beginning)
    const base = turn && (await this.#historyAt(result.from, call, beginning))
    const { keepMessages } = beginning
    const next = base && extendHistory(base, { from: result.from, to: result.to, turn, keepMessages })
    if (next) this.cache.write(call, next)
    else this.cache.drop(call)
  }

  /** The history that the turn was added to: where another turn was completed meanwhile, the one that was kept then. */
  async #historyAt(
    revision: string,
    call: CompleteCall,
    { history }: Beginning,
  ): Promise<History | undefined> {
    if (history.revision === revision) return history
    // The turn takes the place of another one: what was kept still has that.
    if (history.revision === privateRevision) return undefined
    return (await this.cache.read(call))?.history
  }
}

/** The turn as later prompts see it; nothing when they do not. */
function visibleTurn(call: CompleteCall, beginning: Beginning): HistoryTurn | undefined {
  if (call.ending !== 'done' && call.ending !== 'interrupted') return undefined
  const messages = [...beginning.question, ...call.answer]
  return { exchange: beginning.exchange, turn: call.turn, status: call.ending, messages }
}
