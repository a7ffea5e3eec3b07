import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Cache } from '../../lib/cache/cache.js'
import { LayeredCache } from '../../lib/cache/layers.js'
import { MemoryCache } from '../../lib/cache/memory.js'
import { RedisCache } from '../../lib/cache/redis.js'
import { Beginning } from '../../lib/completion/begin.js'
import type { BeginRequest } from '../../lib/completion/request.js'
import { Counting } from '../../lib/completion/counting.js'
import { Ending } from '../../lib/completion/ending.js'
import type { Turn } from '../../lib/completion/turn.js'
import { TurnlogError } from '../../lib/model/errors.js'
import type { Message } from '../../lib/model/message.js'
import { openaiChat } from '../../lib/wire/openai.js'
import { FaultyCache } from './faulty-cache.js'
import { WatchedStore, type Verdicts } from './watched-store.js'

export interface Task {
  readonly url: string
  readonly nodes: readonly { host: string; port: number }[]
  /** Begins of this process, half of them by clients who share sessions and have a cache that fails them. */
  readonly begins: number
}

export interface Outcome extends Verdicts {
  begins: number
  /** Begins that were refused, as is right: the session was deleted, the call cleared, the key still running. */
  refused: number
  readonly faults: string[]
  /** Of clients who take turns one after another, all but a session's first turn. */
  steady: number
  steadyHits: number
}

const clients = 48
const sharedSessions = 40
const userId = 'model'
const chance = (share: number): boolean => Math.random() < share
const oneOf = <Item>(items: readonly Item[]): Item => items[Math.floor(Math.random() * items.length)]!
const word = (): string => Math.random().toString(36).slice(2)

const calling = (ids: readonly string[]): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: 'look', arguments: '{}' } })),
})
const result = (id: string): Message => ({ role: 'tool', tool_call_id: id, content: word() })

/** Runs the clients of one process through the whole core, on caches that it shares with the other process. */
export class Clients {
  readonly outcome: Outcome
  readonly #store: WatchedStore
  readonly #layers: readonly Cache[]
  readonly #steady: Beginning
  readonly #wild: Beginning
  readonly #generations = Array.from({ length: sharedSessions }, () => 0)

  constructor(private readonly task: Task) {
    this.#store = new WatchedStore({ database: task.url })
    const redis = new RedisCache({ connection: { nodes: [...task.nodes] } })
    const memory = new MemoryCache()
    // Small enough that entries are always being evicted.
    const small = new MemoryCache({ maxBytes: 128 * 1024 })
    this.#layers = [memory, small, redis]
    this.#steady = this.#core(new LayeredCache([memory, redis]))
    this.#wild = this.#core(new LayeredCache([new FaultyCache(small), new FaultyCache(redis)]))
    const verdicts = this.#store.verdicts
    this.outcome = Object.assign(verdicts, { begins: 0, refused: 0, faults: [], steady: 0, steadyHits: 0 })
  }

  async run(): Promise<Outcome> {
    await this.#store.ready()
    await Promise.all(this.#layers.map((layer) => layer.ready()))
    const { begins } = this.task
    const half = (): boolean => this.outcome.begins < begins / 2
    await Promise.all(Array.from({ length: clients }, () => this.#takeTurns(half)))
    const all = (): boolean => this.outcome.begins < begins
    await Promise.all(Array.from({ length: clients }, () => this.#meddle(all)))
    // What is delayed comes within this time.
    await sleep(100)
    await Promise.all(this.#layers.map((layer) => layer.close()))
    await this.#store.close()
    return this.outcome
  }

  #core(cache: Cache): Beginning {
    const onFault = (error: unknown): void => void this.outcome.faults.push(String(error))
    const ending = new Ending(this.#store, cache, {
      onStoreFailure: 'deliver',
      includeFailedQuestions: false,
      deferredCapacity: 1000,
      deferredBytes: 1_000_000,
      onFault,
    })
    return new Beginning(this.#store, cache, ending, new Counting({ onFault }), undefined, {
      format: openaiChat,
      concurrency: 'allow',
      newSession: { maxHistoryMessages: 9 },
      firstLeaseMs: 10_000,
      leaseMs: 30_000,
      longestTurnMs: 60_000,
      longestWaitMs: 10_000,
      maxQuestionMessages: 100,
      maxDepth: 20,
      recorderLimits: { bytes: 1e6, eventBytes: 1e6 },
      trim: 'sliding',
      reconcile: { onDiverge: 'append' },
    })
  }

  async #begin(core: Beginning, request: Omit<BeginRequest, 'userId'>): Promise<Turn | undefined> {
    this.outcome.begins++
    try {
      const turn = await core.begin({ userId, autoCreate: true, ...request })
      this.#store.judge(userId, turn)
      return turn
    } catch (error) {
      if (!(error instanceof TurnlogError) || error.status >= 500) this.outcome.faults.push(String(error))
      this.outcome.refused++
      return undefined
    }
  }

  /** One session after another, each turn when the one before has ended. */
  async #takeTurns(goOn: () => boolean): Promise<void> {
    while (goOn()) {
      const sessionId = randomUUID()
      let calls: readonly string[] = []
      for (let number = 0; number < 100 && goOn(); number++) {
        const question = calls.length > 0 ? calls.map(result) : word()
        const turn = await this.#begin(this.#steady, { sessionId, question })
        if (!turn) break
        if (number > 0) this.outcome.steady++
        if (number > 0 && turn.receipt.source !== 'postgres') this.outcome.steadyHits++
        calls = await this.#end(turn, { ofCalls: 0.3, ofBreaks: calls.length > 0 ? 0 : 0.1 })
      }
    }
  }

  /** Any of the shared sessions, whoever else is in it, and everything that can happen to one. */
  async #meddle(goOn: () => boolean): Promise<void> {
    while (goOn()) {
      const index = Math.floor(Math.random() * sharedSessions)
      const session = { userId, sessionId: `shared-${index}-${this.#generations[index]}` }
      if (chance(0.004)) await this.#store.clearSession(session)
      if (chance(0.002)) await this.#store.deleteSession(session)
      if (chance(0.01)) await this.#store.changeSession({ ...session, maxHistoryMessages: oneOf([3, 9, 20]) })
      const turn = await this.#begin(this.#wild, { sessionId: session.sessionId, ...aRequest() })
      if (!turn) {
        if (!(await this.#store.findSession(session))) this.#generations[index]!++
        continue
      }
      await this.#goOn(turn, goOn)
    }
  }

  /** Answer it, soon or late; calls are followed by their results while others ask in between. */
  async #goOn(turn: Turn, goOn: () => boolean): Promise<void> {
    if (chance(0.3)) await sleep(Math.random() * 20)
    const calls = await this.#end(turn, { ofCalls: 0.3, ofBreaks: 0.2 })
    if (calls.length === 0 || !goOn()) return
    const { sessionId } = turn
    const next = await this.#begin(this.#wild, { sessionId, question: calls.map(result), ...aLimit() })
    if (next) await this.#goOn(next, goOn)
  }

  /** The ids of the calls that the answer made. */
  async #end(turn: Turn, { ofCalls, ofBreaks }: { ofCalls: number; ofBreaks: number }): Promise<string[]> {
    if (chance(ofBreaks)) {
      const end = oneOf(['interrupt', 'fail', 'discard'] as const)
      await (end === 'interrupt' ? turn.interrupt(word()) : turn[end]())
      return []
    }
    const calls = chance(ofCalls) ? Array.from({ length: oneOf([1, 1, 2]) }, word) : []
    await turn.complete(calls.length > 0 ? calling(calls) : word())
    return calls
  }
}

const aLimit = (): { maxHistoryMessages?: number } =>
  chance(0.3) ? { maxHistoryMessages: oneOf([1, 2, 4, 7, 12, 30]) } : {}

/** A question, sometimes with a system message, or under one of a few keys, so that broken turns are asked again. */
function aRequest(): Omit<BeginRequest, 'userId' | 'sessionId'> {
  const question: Message = { role: 'user', content: word() }
  const system: Message = { role: 'system', content: oneOf(['Be brief.', 'Be kind.']) }
  if (chance(0.03)) return { question: [system, question], ...aLimit() }
  if (chance(0.05)) return { question: 'the same', key: oneOf(['a', 'b', 'c']), ...aLimit() }
  return { question, ...aLimit() }
}
