import { createHash, randomUUID } from 'node:crypto'

import type { Cache, CacheHit } from '../cache/cache.js'
import {
  HistoryUnavailable,
  IdempotencyKeyReused,
  InvalidRequest,
  PayloadTooLarge,
  SessionNotFound,
  TurnInProgress,
  type TurnlogError,
} from '../model/errors.js'
import { copyJson } from '../model/copy.js'
import { privateRevision, type History, type HistoryTurn } from '../model/history.js'
import {
  checkSessionId,
  checkUserId,
  isStorableKey,
  keyedSessionId,
  newSessionId,
} from '../model/identity.js'
import { canonicalJson, isShallow, type JsonObject } from '../model/json.js'
import type { HistoryMessage, Message } from '../model/message.js'
import type { Receipt } from '../model/receipt.js'
import type { SessionFields, SessionKey } from '../model/session.js'
import type { BeginCall, BeginResult, Begun, CompleteCall, SessionSettings, Store } from '../store/store.js'
import type { Trim } from '../window/window.js'
import type { Format, Prompt, Question } from '../wire/format.js'
import type { Counting } from './counting.js'
import type { Ending } from './ending.js'
import { adoptHistory } from './adopt.js'
import { cutPrompt, type CutPrompt } from './prompt.js'
import { askAgain, needsHistory, reconcile, type Reconciled, type ReconcileOptions } from './reconcile.js'
import type { RecorderOptions } from './recorder.js'
import { checkRequest, withoutControls, type BeginRequest, type ContextRequest } from './request.js'
import { OpenTurn, ReplayedTurn, type Replayed, type Stored, type Turn } from './turn.js'
import type { Summaries } from './summarizing.js'
import { waitForTurns } from './waiting.js'

export interface BeginOptions {
  readonly format: Format
  readonly concurrency: 'allow' | 'reject' | 'enqueue'
  readonly newSession: SessionFields
  readonly firstLeaseMs: number
  readonly leaseMs: number
  readonly longestTurnMs: number
  readonly longestWaitMs: number
  readonly maxQuestionMessages: number
  readonly maxDepth: number
  readonly recorderLimits: RecorderOptions['limits']
  readonly trim: Trim
  readonly reconcile: ReconcileOptions
}

/** A request that has been read and found in order. */
interface Asked extends SessionKey {
  readonly request: BeginRequest
  readonly format: Format
  readonly body: JsonObject | undefined
  readonly question: Question
  readonly regenerate: boolean
  readonly create: boolean
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

/** What a completion would send. */
export interface Preview {
  readonly messages: readonly Message[]
  /** The stored part of `messages`, pinned messages included. */
  readonly history: readonly Message[]
  /** The request body with the prompt in its place, where a body was given. */
  readonly body: JsonObject | undefined
  readonly receipt: Receipt
}

const noHistory: History = { revision: '', system: [], turns: [], from: 0, reach: 0 }

/** How often a begin follows a history that moves meanwhile. */
const mostTries = 5

/** The longest idempotency key, in bytes. */
const longestKey = 255

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
    const asked = this.#read(request)
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
      const reconciled = this.#reconcile(asked, known?.history)
      const call = await this.#call(asked, known?.history, reconciled)
      const result = await this.store.beginTurn(call)
      if (result.status !== 'stale') return { call, known, result, reconciled }
      this.cache.write(asked, result.history)
      known = { history: result.history, source: 'postgres' }
    }
    throw new TurnInProgress('Other turns of this session end faster than this one can begin.', 1)
  }

  #reconcile({ question, request, regenerate, format }: Asked, known: History | undefined): Reconciled {
    const history = known && adoptHistory(known, format).history
    const whole = { messages: question.messages, known: 0, ...(regenerate && { replaces: 'last' as const }) }
    if (regenerate && question.messages.length === 0) return history ? askAgain(history) : whole
    if (regenerate) return { ...reconcile(question, noHistory, this.options.reconcile), replaces: 'last' }
    if (!needsHistory(question, this.options.reconcile)) return whole
    if (request.sessionId === 'new') return reconcile(question, noHistory, this.options.reconcile)
    // Asked with nothing known, the store answers with the history.
    return history ? reconcile(question, history, this.options.reconcile) : whole
  }

  #needsHistory({ question, regenerate }: Asked): boolean {
    return regenerate ? question.messages.length === 0 : needsHistory(question, this.options.reconcile)
  }

  /** What a begin of this request would send, and why. Writes nothing. Rejects as the begin would. */
  async preview(request: ContextRequest): Promise<Preview> {
    const asked = this.#read(request)
    const { question, format } = asked
    const read = await this.store.readHistory({ ...sessionOf(asked), limit: request.maxHistoryMessages })
    if (!read) throw new SessionNotFound()
    const reconciled = this.#reconcile(asked, read.history)
    const joins = answersOf(format, reconciled.messages)
    const joined =
      joins.length === 0
        ? read
        : await this.store.readHistory({ ...sessionOf(asked), limit: request.maxHistoryMessages, joins })
    if (!joined) throw new SessionNotFound()
    if (joins.length > 0 && joined.exchange === undefined) throw refusal({ status: 'orphaned' })
    const { settings } = joined
    const { replaces } = reconciled
    const history = withoutFrom(joined.history, replaces === 'last' ? undefined : replaces)
    const model = modelOf(asked, settings)
    const cut = await cutPrompt(this.counting, {
      format,
      asked: question,
      history: pinnedBy(history, await this.counting.counted(question.system, model)),
      question: await this.counting.counted(reconciled.messages, model),
      exchange: joined.exchange,
      limit: request.maxHistoryMessages ?? settings.maxHistoryMessages,
      trim: this.options.trim,
      model,
      source: 'postgres',
      reconciled: reconciled.known,
    })
    if (cut.refusal) throw cut.refusal
    return previewOf(asked, cut, settings)
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

  #read(request: BeginRequest): Asked {
    checkRequest(request)
    const userId = checkUserId(request.userId)
    if (request.key !== undefined && !isStorableKey(request.key, longestKey)) {
      throw new InvalidRequest(
        'The idempotency key must be 1 to 255 bytes of well-formed text without NUL.',
        {
          param: 'idempotency_key',
        },
      )
    }
    const format = request.format ?? this.options.format
    const body = request.body && withoutControls(request.body)
    const regenerate = isRegenerating(request)
    const question = readQuestion(format, body ?? questionBody(request, regenerate), regenerate)
    this.#checkSize(question)
    this.#checkDepth(question, body)
    const isNew = request.sessionId === 'new'
    const sessionId = isNew ? this.#newId(userId, request.key) : checkSessionId(request.sessionId)
    return {
      userId,
      sessionId,
      request,
      format,
      body,
      question,
      regenerate,
      create: isNew || request.autoCreate === true,
    }
  }

  #newId(userId: string, key: string | undefined): string {
    return key === undefined ? newSessionId() : keyedSessionId(userId, key)
  }

  #checkSize(question: Question): void {
    const count = question.system.length + question.messages.length
    if (count > this.options.maxQuestionMessages) {
      throw new PayloadTooLarge(
        `messages holds ${count} messages, at most ${this.options.maxQuestionMessages} are taken. Send only the new ones.`,
        { param: 'messages' },
      )
    }
  }

  /** Of all that is walked later: tools are counted, and a body under a key is fingerprinted. */
  #checkDepth(question: Question, body: JsonObject = {}): void {
    const { maxDepth } = this.options
    for (const [param, value] of Object.entries({
      ...body,
      messages: [question.system, question.messages],
    })) {
      if (isShallow(value, maxDepth)) continue
      throw new InvalidRequest(`${param} is nested deeper than ${maxDepth} levels.`, { param })
    }
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
      system: await this.counting.counted(copyJson(question.system), model),
      question: await this.counting.counted(copyJson(messages), model),
      answers: answersOf(format, messages),
      format: format.name,
      model,
      leaseMs: this.options.firstLeaseMs,
      limit: request.maxHistoryMessages,
      cached: history,
      onlyIfCurrent: request.sessionId !== 'new' && this.#needsHistory(asked),
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
    // The host's to change: the next cache entry is made from what the store keeps.
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
    const promptTokens = complete.usage && asked.format.promptTokens(complete.usage)
    if (cut.counted && promptTokens !== undefined) this.counting.learn(cut.counted, promptTokens)
    const said = complete.answer.map(({ message }) => message)
    const answer = await this.counting.counted(said, modelOf(asked, begun.settings))
    const stored = await this.ending.commit(
      { ...complete, answer },
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

function refusal(result: Exclude<BeginResult, Begun | { status: 'finished' }>): TurnlogError {
  switch (result.status) {
    case 'no_session':
      return new SessionNotFound()
    case 'busy':
      return new TurnInProgress(`Turn ${result.turn} of this session is still running.`, 1)
    case 'running':
      return new TurnInProgress(
        `The request with this idempotency key is still running, as turn ${result.turn}.`,
        1,
      )
    case 'mismatch':
      return new IdempotencyKeyReused()
    case 'orphaned':
      return new InvalidRequest('messages brings a tool result whose tool call is not in this session.', {
        param: 'messages',
      })
    case 'nothing_to_replace':
      return new InvalidRequest('regenerate needs an answer to replace, and this session has none.', {
        param: 'regenerate',
      })
    case 'stale':
    default:
      return new HistoryUnavailable(
        new Error('The store called a turn stale that was not asked to be current.'),
      )
  }
}

const sessionOf = ({ userId, sessionId }: SessionKey): SessionKey => ({ userId, sessionId })

const shuttingDown = (): HistoryUnavailable =>
  new HistoryUnavailable(undefined, 'The server is shutting down. Try again shortly.')

/** Ids of the tool calls that messages answer and do not bring themselves. */
function answersOf(format: Format, messages: readonly Message[]): string[] {
  const made = new Set(messages.flatMap((message) => format.calls(message)))
  return messages.flatMap((message) => format.answers(message)).filter((id) => !made.has(id))
}

/** The history with the pinned messages that a request brings, if it brings any. */
const pinnedBy = (history: History, system: readonly HistoryMessage[]): History =>
  system.length === 0
    ? history
    : {
        ...history,
        system: [...system, ...history.system.filter(({ summarizes }) => summarizes !== undefined)],
      }

/** The history before an exchange. */
const withoutFrom = (history: History, exchange = Infinity): History => ({
  ...history,
  turns: history.turns.filter((turn) => turn.exchange < exchange),
})

function previewOf(asked: Asked, { window, receipt }: CutPrompt, { model }: SessionSettings): Preview {
  const { system, messages } = copyJson({ system: window.system, messages: window.messages })
  return {
    messages: [...system, ...messages],
    history: [...system, ...messages.slice(0, window.history.length)],
    body: asked.body && promptBody(asked, { system, messages }, model),
    receipt,
  }
}

/** A begin that had to be repeated, and a turn that waited for its place, may read what was asked after them. */
function onlyBefore(turn: number, history: History): History {
  const isBefore = (other: HistoryTurn): boolean => other.turn < turn
  return history.turns.every(isBefore) ? history : { ...history, turns: history.turns.filter(isBefore) }
}

/** A history that was read while nothing was replaced yet, as the replacing turn is to see it. */
function withoutReplaced(history: History, { replaces, exchange }: Begun): History {
  if (replaces === undefined) return history
  const replaced = history.turns.find(({ turn }) => turn === replaces)
  if (!replaced) return { ...history, revision: privateRevision }
  const isOut = replaced.exchange === exchange ? [replaced] : history.turns.filter(sameExchange(replaced))
  return {
    ...history,
    revision: privateRevision,
    turns: history.turns.filter((turn) => !isOut.includes(turn)),
  }
}

const sameExchange = (one: HistoryTurn) => (other: HistoryTurn) => one.exchange === other.exchange

function messagesOf(question: BeginRequest['question']): readonly Message[] {
  if (question === undefined)
    throw new InvalidRequest('begin needs a question or a body.', { param: 'question' })
  if (typeof question === 'string') return [{ role: 'user', content: question }]
  return [question].flat()
}

function isRegenerating({ regenerate, body }: BeginRequest): boolean {
  const given = regenerate ?? body?.['regenerate'] ?? false
  if (typeof given === 'boolean') return given
  throw new InvalidRequest('regenerate must be true or false.', { param: 'regenerate' })
}

const questionBody = ({ question }: BeginRequest, regenerate: boolean): JsonObject =>
  question === undefined && regenerate ? {} : { messages: messagesOf(question) }

/** What is asked; with `regenerate` nothing need be: a stand-in is read and taken out again. */
function readQuestion(format: Format, body: JsonObject, regenerate: boolean): Question {
  const { messages = [] } = body
  if (!regenerate || !Array.isArray(messages) || messages.length > 0) return format.read(body)
  return { ...format.read({ ...body, messages: [{ role: 'user', content: '-' }] }), messages: [] }
}

/** Fields that say how the answer is to come and not which: a retry may ask for the same answer in the other shape. */
const shapeFields: ReadonlySet<string> = new Set(['stream', 'stream_options'])

function fingerprint({ body, question, regenerate }: Asked): string {
  const asked = Object.entries(body ?? question).filter(([name]) => !shapeFields.has(name))
  return createHash('sha256')
    .update(canonicalJson([Object.fromEntries(asked), regenerate]))
    .digest('hex')
}

const modelOf = ({ question, request }: Asked, settings: SessionSettings): string | undefined =>
  question.model ?? request.model ?? settings.model ?? undefined

/** The body to send on; the session's model where the client named none. */
function promptBody({ body, format, question }: Asked, prompt: Prompt, model: string | null): JsonObject {
  const prompted = format.inject(body ?? {}, prompt)
  // A handler that reads the turn's messages itself gets its body as it was.
  if (prompted === body) return body
  return question.model === undefined && model !== null ? { model, ...prompted } : prompted
}
