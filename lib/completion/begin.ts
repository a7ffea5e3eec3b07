import { randomUUID } from 'node:crypto'

import type { Cache, CacheHit } from '../cache/cache.js'
import { copyJson, ownCopy } from '../model/copy.js'
import { HistoryUnavailable, SessionNotFound, TurnInProgress } from '../model/errors.js'
import { privateRevision, type History } from '../model/history.js'
import type { Receipt } from '../model/receipt.js'
import type { SessionFields, SessionKey } from '../model/session.js'
import type { BeginCall, BeginResult, Begun, CompleteCall, Store } from '../store/store.js'
import { answersOf, fingerprint, modelOf, promptBody, readAsked, sessionOf, type Asked } from './asked.js'
import type { Counting } from './counting.js'
import type { Ending } from './ending.js'
import type { PreviewOptions } from './preview.js'
import { cutPrompt, type CutPrompt } from './prompt.js'
import { needsKnown, reconcileAsked, type Reconciled } from './reconcile.js'
import type { RecorderOptions } from './recorder.js'
import { refusal } from './refusal.js'
import type { BeginRequest } from './request.js'
import type { Summaries } from './summarizing.js'
import { OpenTurn, ReplayedTurn, type Replayed, type Stored, type Turn } from './turn.js'
import { onlyBefore, withoutFrom, withoutReplaced } from './visible.js'
import { waitForTurns } from './waiting.js'

export interface BeginOptions extends PreviewOptions {
  readonly concurrency: 'allow' | 'reject' | 'enqueue'
  readonly newSession: SessionFields
  readonly firstLeaseMs: number
  readonly leaseMs: number
  readonly longestTurnMs: number
  readonly longestWaitMs: number
  readonly recorderLimits: RecorderOptions['limits']
}

/** A history at hand, and where it was read. */
interface Known {
  readonly history: History
  readonly source: Receipt['source']
}

/** What the store made of a begin, and what it was begun with. */
interface AskedStore {
  readonly call: BeginCall
  readonly known?: Known
  readonly result: BeginResult
  readonly reconciled: Reconciled
}

/** How often a begin follows a history that moves meanwhile. */
const mostTries = 5

export class Beginning {
  readonly open = new Set<OpenTurn>()
  readonly #closing = new AbortController()
  readonly #begins = new Set<Promise<Turn>>()

  constructor(
    private readonly store: Store,
    private readonly cache: Cache,
    private readonly ending: Ending,
    private readonly counting: Counting,
    private readonly summaries: Summaries | undefined,
    private readonly options: BeginOptions,
  ) {}

  /** From now on nothing begins, and what is enqueued waits no longer. Resolves when what was just beginning has begun or not. */
  async close(): Promise<void> {
    this.#closing.abort(shuttingDown())
    await Promise.allSettled(this.#begins)
  }

  /** Store the question, number the turn and cut its window. Rejects with the error that a client should get. */
  begin(request: BeginRequest): Promise<Turn> {
    const begin = this.#begin(request)
    this.#begins.add(begin)
    return begin.finally(() => this.#begins.delete(begin))
  }

  async #begin(request: BeginRequest): Promise<Turn> {
    this.#closing.signal.throwIfAborted()
    const asked = readAsked(request, this.options)
    await this.ending.deferred.flushSession(asked)
    const hit = request.sessionId === 'new' ? undefined : await this.cache.read(asked)
    const { call, known, result, reconciled } = await this.#ask(asked, hit)
    if (result.status === 'finished') return this.#replay(asked, result.turn)
    if (result.status !== 'begun') throw refusal(result)
    if (hit && hit.history.revision !== result.revision) this.cache.stale(asked)
    if (result.waitsFor === undefined) return this.#open(asked, call, result, { known, reconciled })
    return this.#open(asked, call, await this.#enqueue(asked, call, result), { reconciled })
  }

  /** Begin with what is new. A request that may bring stored messages again is held against the history until that is the current one. */
  async #ask(asked: Asked, hit: CacheHit | undefined): Promise<AskedStore> {
    let known: Known | undefined = hit && { history: hit.history, source: hit.layer }
    for (let tries = 0; tries < mostTries; tries++) {
      const reconciled = reconcileAsked(asked, known?.history, this.options.reconcile)
      const call = await this.#call(asked, known?.history, reconciled)
      const result = await this.store.beginTurn(call)
      if (result.status !== 'stale') return { call, known, result, reconciled }
      this.cache.write(asked, result.history)
      known = { history: result.history, source: 'postgres' }
    }
    throw new TurnInProgress('Other turns of this session end faster than this one can begin.', 1)
  }

  /** The turn waits for its place; then its history is read. One that never comes to it has failed. */
  async #enqueue(asked: Asked, call: BeginCall, begun: Begun): Promise<Begun> {
    try {
      await this.#wait(asked, call, begun)
      const asking = { ...sessionOf(asked), limit: call.limit, joins: call.answers }
      const read = await this.store.readHistory(asking)
      if (!read) throw new SessionNotFound()
      const history =
        typeof call.replaces === 'number'
          ? { ...withoutFrom(read.history, call.replaces), revision: privateRevision }
          : withoutReplaced(read.history, begun)
      return { ...begun, settings: read.settings, history }
    } catch (error) {
      await this.ending.failWaiting({ ...sessionOf(asked), turn: begun.turn, nonce: call.nonce })
      throw error
    }
  }

  async #wait({ userId, sessionId, request }: Asked, { nonce }: BeginCall, { turn }: Begun): Promise<void> {
    const { longestWaitMs, firstLeaseMs, leaseMs } = this.options
    const closing = this.#closing.signal
    const signal = request.signal ? AbortSignal.any([closing, request.signal]) : closing
    const isNext = await waitForTurns(
      this.store,
      { userId, sessionId, turn, nonce, leaseMs },
      {
        longestMs: longestWaitMs,
        renewEveryMs: firstLeaseMs / 2,
        signal,
        endOf: (number) => this.#find({ userId, sessionId }, number)?.ended,
      },
    )
    if (!isNext) throw new TurnInProgress('An earlier turn of this session is still running.', 1)
  }

  #find({ userId, sessionId }: SessionKey, number: number): OpenTurn | undefined {
    return [...this.open].find(
      ({ start }) => start.number === number && start.sessionId === sessionId && start.userId === userId,
    )
  }

  async #call(
    asked: Asked,
    history: History | undefined,
    { messages, replaces }: Reconciled,
  ): Promise<BeginCall> {
    const { request, question, format } = asked
    const model = question.model ?? request.model
    return {
      userId: asked.userId,
      sessionId: asked.sessionId,
      nonce: randomUUID(),
      key: request.key,
      requestHash: request.key === undefined ? undefined : fingerprint(asked),
      // Ours alone: what the host does to its objects later is not what was asked.
      system: await this.counting.counted(ownCopy(question.system), model),
      question: await this.counting.counted(ownCopy(messages), model),
      answers: answersOf(format, messages),
      format: format.name,
      model,
      leaseMs: this.options.firstLeaseMs,
      limit: request.maxHistoryMessages,
      cached: history,
      onlyIfCurrent: request.sessionId !== 'new' && needsKnown(asked, this.options.reconcile),
      create: asked.create ? this.options.newSession : undefined,
      concurrency: request.concurrency ?? this.options.concurrency,
      replaces,
    }
  }

  async #open(
    asked: Asked,
    call: BeginCall,
    begun: Begun,
    { known, reconciled }: { known?: Known; reconciled: Reconciled },
  ): Promise<Turn> {
    const history = begun.history ?? known?.history
    if (!history) throw new HistoryUnavailable(new Error('The store named no history.'))
    if (begun.history && history.revision !== privateRevision) this.cache.write(asked, history)
    const cut = await cutPrompt(this.counting, {
      format: asked.format,
      asked: asked.question,
      history: onlyBefore(begun.turn, history),
      question: call.question,
      exchange: begun.exchange === begun.turn ? undefined : begun.exchange,
      limit: asked.request.maxHistoryMessages ?? begun.settings.maxHistoryMessages,
      trim: this.options.trim,
      model: modelOf(asked, begun.settings),
      source: begun.history ? 'postgres' : known!.source,
      reconciled: reconciled.known,
    })
    const turn = this.#turn(asked, call, begun, history, cut)
    if (!cut.refusal) return turn
    await turn.fail()
    throw cut.refusal
  }

  #turn(asked: Asked, call: BeginCall, begun: Begun, history: History, cut: CutPrompt): OpenTurn {
    const { userId, sessionId, format } = asked
    const { window, receipt } = cut
    const model = modelOf(asked, begun.settings)
    // The host's to change: the window's messages are those of the cache.
    const prompt = copyJson({ system: window.system, messages: window.messages })
    const owner = { userId, sessionId, turn: begun.turn, nonce: call.nonce, leaseMs: this.options.leaseMs }
    const turn = new OpenTurn(
      {
        userId,
        sessionId,
        number: begun.turn,
        nonce: call.nonce,
        format,
        messages: [...prompt.system, ...prompt.messages],
        history: [...prompt.system, ...prompt.messages.slice(0, window.history.length)],
        receipt,
        body: asked.body && promptBody(asked, prompt, begun.settings.model),
        model,
        signal: asked.request.signal,
      },
      {
        commit: (complete) => this.#commit(asked, call, begun, { complete, history, cut }),
        renew: () => this.store.renewLease(owner),
        closed: (closed) => {
          this.open.delete(closed)
          setImmediate(() => void this.counting.load(model)).unref()
        },
        limits: this.options.recorderLimits,
        longestMs: this.options.longestTurnMs,
        renewEveryMs: this.options.firstLeaseMs / 2,
      },
    )
    this.open.add(turn)
    return turn
  }

  async #commit(
    asked: Asked,
    call: BeginCall,
    begun: Begun,
    { complete, history, cut }: { complete: CompleteCall; history: History; cut: CutPrompt },
  ): Promise<Stored> {
    // Before anything is waited for: the objects may be the host's, and an answer may be stored much later than it was given.
    const kept = { ...complete, answer: ownCopy(complete.answer), usage: ownCopy(complete.usage) }
    const promptTokens = kept.usage && asked.format.promptTokens(kept.usage)
    if (cut.counted && promptTokens !== undefined) this.counting.learn(cut.counted, promptTokens)
    const said = kept.answer.map(({ message }) => message)
    const answer = await this.counting.counted(said, modelOf(asked, begun.settings))
    const stored = await this.ending.commit(
      { ...kept, answer },
      {
        history,
        exchange: begun.exchange,
        question: call.question,
        // A turn that asks for less leaves the next one enough.
        keepMessages: Math.max(asked.request.maxHistoryMessages ?? 0, begun.settings.maxHistoryMessages),
      },
    )
    if (stored === 'stored') this.#summarize(asked, call, begun, { cut, said: answer.length })
    return stored
  }

  /** Where something fell out of this prompt, or will of the next. */
  #summarize(
    asked: Asked,
    call: BeginCall,
    { settings }: Begun,
    { cut: { window }, said }: { cut: CutPrompt; said: number },
  ): void {
    const sent = window.history.length
    const limit = asked.request.maxHistoryMessages ?? settings.maxHistoryMessages
    if (!window.trimmedBy && sent + call.question.length + said <= limit) return
    this.summaries?.start({ ...sessionOf(asked), model: modelOf(asked, settings), sent })
  }

  async #replay(asked: Asked, number: number): Promise<Turn> {
    const turn = await this.store.findFinishedTurn({ ...asked, turn: number })
    if (!turn) throw new SessionNotFound()
    const { format, sessionId } = asked
    const replay: Replayed = { turn, as: (shape) => format.replay(turn, shape === 'stream') }
    return new ReplayedTurn(sessionId, replay)
  }
}

const shuttingDown = (): HistoryUnavailable =>
  new HistoryUnavailable(undefined, 'The server is shutting down. Try again shortly.')
