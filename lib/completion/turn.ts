import { HistoryUnavailable, InvalidRequest, Misconfigured, TurnlogError } from '../model/errors.js'
import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { Receipt } from '../model/receipt.js'
import type { FinishedTurn } from '../model/turn.js'
import type { CompleteCall, Ending } from '../store/store.js'
import type { Answer, Format, Replay } from '../wire/format.js'
import type { FramingName } from '../wire/framing.js'
import { createRecorder, type Recorder, type RecorderOptions, type Recording } from './recorder.js'

/**
 * What became of an answer: `stored` is durable; `deferred` will be tried again and is no acknowledgement;
 * `refused` came too late (the session was cleared or deleted, or the turn was closed by somebody else);
 * `lost` could neither be stored nor queued; `withheld` could not be stored, and its end is not to reach the client
 * (`onStoreFailure: 'fail'`): `turn.failure()` goes out in its place; `nothing` had no answer to store.
 */
export type Stored = 'stored' | 'deferred' | 'refused' | 'lost' | 'withheld' | 'nothing'

/** What is known of an answer besides its messages. */
export interface AnswerDetails {
  readonly usage?: JsonObject
  readonly model?: string
  readonly responseId?: string
  /** Seconds since 1970. */
  readonly responseTime?: number
  readonly finishReason?: string
}

/** A finished answer that is given again, because its idempotency key was known. */
export interface Replayed {
  /** The turn as it was stored, the question's messages and the answer's. */
  readonly turn: FinishedTurn
  /** The answer as the provider would have sent it: the JSON body, or the whole stream. */
  as(shape: 'json' | 'stream'): Replay
}

/** One request and the answer it causes. Exactly one ending counts, the first; every later one returns what became of that. */
export interface Turn {
  readonly sessionId: string
  /** 1, 2, 3 … within the session. */
  readonly number: number
  /** What to send to the provider: the pinned system messages, the history, the question. */
  readonly messages: readonly Message[]
  /** The stored part of `messages`, pinned messages included. */
  readonly history: readonly Message[]
  readonly receipt: Receipt
  /** Aborted when the client is gone, the turn takes too long or the process closes. */
  readonly signal: AbortSignal
  /** The finished answer, when the idempotency key was known. Nothing is recorded then. */
  readonly replay: Replayed | undefined
  /** How the turn ended; `open` until then. */
  readonly status: 'open' | Ending | 'replayed'
  /** The request body with the prompt in its place, for a turn that was begun from a body. */
  readonly body: JsonObject | undefined
  /** Passes a provider's stream on, SDK objects or bytes, and stores the answer at its end. Breaking out of the loop interrupts the turn. */
  record<Chunk>(stream: AsyncIterable<Chunk>): AsyncGenerator<Chunk, void, undefined>
  /** A recorder to be fed by hand, of the format's own framing if it has one; the turn ends with `settle`. */
  recorder(framing: FramingName): Recorder
  /** End the turn with what a recorder collected. */
  settle(recording: Recording): Promise<Stored>
  complete(answer: string | Message | readonly Message[], details?: AnswerDetails): Promise<Stored>
  /** The answer broke off: what was said is kept and marked. */
  interrupt(partial?: string | Message | readonly Message[]): Promise<Stored>
  /** No answer came. The question stays listed and is not injected. */
  fail(error?: unknown): Promise<Stored>
  /** As if it had not been asked. */
  discard(): Promise<Stored>
  /** What the client gets in place of an answer that is `withheld`: a 503's body, or the last event of a stream. */
  failure(shape: 'json' | 'stream'): Replay
  /** Say before its end that no prompt may ever carry this turn: question and answer are stored and listed, with the status `failed`. */
  hide(): void
}

/** What a turn needs from the core that began it. */
export interface TurnHost {
  commit(call: CompleteCall): Promise<Stored>
  /** False when the turn is no longer open. */
  renew(): Promise<boolean>
  closed(turn: OpenTurn): void
  readonly limits: RecorderOptions['limits']
  /** How long a turn may take in all, in milliseconds. */
  readonly longestMs: number
  /** How often an open turn's lease is renewed, in milliseconds. */
  readonly renewEveryMs: number
}

export interface TurnStart {
  readonly userId: string
  readonly sessionId: string
  readonly number: number
  readonly nonce: string
  readonly format: Format
  readonly messages: readonly Message[]
  readonly history: readonly Message[]
  readonly receipt: Receipt
  readonly body: JsonObject | undefined
  readonly model: string | undefined
  readonly signal: AbortSignal | undefined
}

export class OpenTurn implements Turn {
  readonly sessionId: string
  readonly number: number
  readonly messages: readonly Message[]
  readonly history: readonly Message[]
  readonly body: JsonObject | undefined
  readonly replay: undefined
  /** Resolves once the turn has ended and its end is committed or deferred. */
  readonly ended: Promise<void>
  readonly #abort = new AbortController()
  readonly #timers: readonly NodeJS.Timeout[]
  #markEnded!: () => void
  #receipt: Receipt
  #recorder: Recorder | undefined
  #ending: Ending | undefined
  #isHidden = false
  #stored: Promise<Stored> | undefined

  constructor(
    readonly start: TurnStart,
    private readonly host: TurnHost,
  ) {
    this.sessionId = start.sessionId
    this.number = start.number
    this.messages = start.messages
    this.history = start.history
    this.body = start.body
    this.#receipt = start.receipt
    this.ended = new Promise((resolve) => (this.#markEnded = resolve))
    this.#timers = [
      setInterval(() => void this.#renew(), host.renewEveryMs).unref(),
      setTimeout(() => void this.#timeOut(), host.longestMs).unref(),
    ]
    start.signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (start.signal?.aborted) queueMicrotask(this.#onAbort)
  }

  get receipt(): Receipt {
    return this.#receipt
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get status(): 'open' | Ending {
    return this.#ending ?? 'open'
  }

  recorder(told: FramingName): Recorder {
    const { format } = this.start
    const framing = format.framing ?? told
    this.#recorder = createRecorder({ format, framing, limits: this.host.limits })
    return this.#recorder
  }

  async *record<Chunk>(stream: AsyncIterable<Chunk>): AsyncGenerator<Chunk, void, undefined> {
    const recorder = this.recorder('sse')
    try {
      for await (const chunk of recorder.record(stream)) {
        // The provider's last word waits for the commit, like the terminal event of an HTTP stream.
        if (recorder.outcome !== 'more') refuseWithheld(await this.settle(recorder.end()))
        yield chunk
      }
      refuseWithheld(await this.settle(recorder.end()))
    } finally {
      await this.settle(recorder.end())
    }
  }

  failure(shape: 'json' | 'stream'): Replay {
    const body = withheld().toBody()
    if (shape === 'json') return { contentType: 'application/json', body: JSON.stringify(body) }
    return { contentType: 'text/event-stream; charset=utf-8', body: this.start.format.failure(body) }
  }

  settle({ ending, answer }: Recording): Promise<Stored> {
    return this.#end(ending, ending === 'failed' ? undefined : answer)
  }

  complete(answer: string | Message | readonly Message[], details: AnswerDetails = {}): Promise<Stored> {
    return this.#end('done', this.#answerOf(answer, details))
  }

  interrupt(partial?: string | Message | readonly Message[]): Promise<Stored> {
    const said = partial === undefined ? this.#recorder?.answer() : this.#answerOf(partial, {})
    return this.#end('interrupted', said)
  }

  fail(_error?: unknown): Promise<Stored> {
    return this.#end('failed', undefined)
  }

  discard(): Promise<Stored> {
    return this.#end('discarded', undefined)
  }

  hide(): void {
    this.#isHidden = true
  }

  /** The client is gone or the process closes: cancel the provider's call and keep what was said. */
  abandon(reason: unknown): Promise<Stored> {
    this.#abort.abort(reason)
    return this.interrupt()
  }

  readonly #onAbort = (): void => void this.abandon(this.start.signal?.reason)

  /** The first ending counts. */
  #end(asked: Ending, answer: Answer | undefined): Promise<Stored> {
    if (this.#stored) return this.#stored
    // Prompts leave out what failed, and only that.
    const ending = this.#isHidden && asked !== 'discarded' ? 'failed' : asked
    this.#ending = ending
    for (const timer of this.#timers) clearTimeout(timer)
    this.start.signal?.removeEventListener('abort', this.#onAbort)
    if (answer?.choices !== undefined && answer.choices > 1) {
      this.#receipt = { ...this.#receipt, choicesNotStored: answer.choices - 1 }
    }
    this.#stored = this.host.commit(this.#completeCall(ending, answer)).finally(() => {
      this.host.closed(this)
      this.#markEnded()
    })
    return this.#stored
  }

  #completeCall(ending: Ending, answer: Answer | undefined): CompleteCall {
    const { userId, sessionId, number, nonce, model } = this.start
    return {
      userId,
      sessionId,
      turn: number,
      nonce,
      ending,
      answer: (answer?.messages ?? []).map((message) => ({ message })),
      // An interrupted answer's calls are closed off, so nothing is waited for.
      calls: ending === 'done' ? (answer?.calls ?? []) : [],
      model: answer?.model ?? model,
      responseId: answer?.responseId,
      responseTime: answer?.responseTime,
      finishReason: answer?.finishReason,
      usage: answer?.usage,
      receipt: this.#receipt,
    }
  }

  #answerOf(said: string | Message | readonly Message[], details: AnswerDetails): Answer {
    const messages = typeof said === 'string' ? [{ role: 'assistant', content: said }] : [said].flat()
    for (const message of messages) {
      if (isObject(message) && typeof message.role === 'string') continue
      throw new InvalidRequest('An answer must be text, or messages with a role.')
    }
    return { messages, calls: messages.flatMap((message) => this.start.format.calls(message)), ...details }
  }

  async #renew(): Promise<void> {
    const open = await this.host.renew().catch(() => true)
    if (!open && this.status === 'open')
      this.#abort.abort(new TurnlogError('turn_closed', 409, 'The turn was closed.'))
  }

  async #timeOut(): Promise<void> {
    this.#abort.abort(new TurnlogError('turn_timeout', 504, 'The turn took too long.'))
    await this.fail()
  }
}

/** A turn that was finished before: it gives its answer again and records nothing. */
export class ReplayedTurn implements Turn {
  readonly number: number
  readonly messages = []
  readonly history = []
  readonly body = undefined
  readonly status = 'replayed'
  readonly signal: AbortSignal = new AbortController().signal
  readonly receipt: Receipt

  constructor(
    readonly sessionId: string,
    readonly replay: Replayed,
  ) {
    this.number = replay.turn.turn
    this.receipt = replay.turn.receipt ?? { injected: 0, dropped: 0, source: 'none' }
  }

  // oxlint-disable-next-line require-yield -- it refuses before the first chunk
  async *record<Chunk>(): AsyncGenerator<Chunk, void, undefined> {
    throw this.#refusal()
  }

  recorder(): Recorder {
    throw this.#refusal()
  }

  failure(): Replay {
    throw this.#refusal()
  }

  settle(): Promise<Stored> {
    return nothing()
  }

  complete(): Promise<Stored> {
    return nothing()
  }

  interrupt(): Promise<Stored> {
    return nothing()
  }

  fail(): Promise<Stored> {
    return nothing()
  }

  discard(): Promise<Stored> {
    return nothing()
  }

  hide(): void {
    // What was answered before is as visible as it was.
  }

  #refusal(): Misconfigured {
    return new Misconfigured(
      'This turn was finished before: answer from turn.replay and do not call the provider.',
    )
  }
}

const withheld = (): HistoryUnavailable =>
  new HistoryUnavailable(undefined, 'The answer could not be stored, so it is withheld. Try again shortly.')

function refuseWithheld(stored: Stored): void {
  if (stored === 'withheld') throw withheld()
}

const nothing = (): Promise<Stored> => Promise.resolve('nothing')
