import type { FramingName, Recorder, Stored, Turn } from '../lib/index.js'
import { decoderFor, type Decoder } from './decoder.js'

/** What is known of an answer when its first byte comes. */
export interface AnswerHead {
  readonly status: number
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly contentLength: string | undefined
}

export interface GateOptions {
  /** Called when the answer is seen only in an encoded form, so that only its very end can be held back. */
  readonly onEncoded: (encoding: string) => void
  /** Called when nothing here decodes it: the answer is not seen at all. */
  readonly onUndecoded: (encoding: string) => void
  /** Called when an answer with a good status cannot be stored as one: an error inside it, a shape that its format does not read, or too much. */
  readonly onUnread: (reason: string) => void
}

/**
 * Lets an answer through to the client and holds back its end: the terminal event of a stream, whole, or the last
 * byte of anything else, until the turn is committed. The bytes that come out are the bytes that went in.
 */
export class Gate {
  readonly #recorder: Recorder | undefined
  readonly #decoder: Decoder | undefined
  /** Whether the client reads plain Server-Sent Events, in which a comment and an event of ours may stand. */
  readonly #mayComment: boolean = false
  /** With this many bytes the answer is whole for the client, whether its end is called or not. */
  readonly #length: number
  #held: Buffer[] = []
  #fed = 0
  #passed = 0
  #mayPass = 0
  #settled = false
  /** Known once the gate has settled. */
  stored: Stored = 'nothing'

  /** `first`: the answer's first bytes, from which a framing without a content type is told. */
  constructor(
    private readonly turn: Turn,
    head: AnswerHead,
    first: Buffer,
    private readonly options: GateOptions,
  ) {
    this.#length = Number(head.contentLength ?? Infinity)
    // A redirect or a provider's error is no answer: nothing is recorded, and the turn ends as failed.
    if (head.status >= 300 || head.status === 204 || turn.status !== 'open') return
    const encoding = (head.contentEncoding ?? 'identity').toLowerCase()
    const plain = encoding === 'identity' || encoding === ''
    const recorder = turn.recorder(framingOf(head.contentType, plain ? first : undefined))
    this.#recorder = recorder
    this.#mayComment = plain && recorder.framing === 'sse'
    if (plain) return
    this.#decoder = decoderFor(encoding, (bytes) => recorder.write(bytes))
    if (this.#decoder) {
      options.onEncoded(encoding)
    } else {
      options.onUndecoded(encoding)
      this.#recorder = undefined
    }
  }

  /** The provider's last word was seen, or the last byte: `settle` before anything else passes. */
  get ending(): boolean {
    if (this.#settled || this.#decoder || !this.#recorder) return false
    return this.#recorder.outcome !== 'more' || this.#fed >= this.#length
  }

  feed(bytes: Buffer): void {
    // After an answer that was withheld nothing more is said.
    if (this.stored === 'withheld') return
    this.#held.push(bytes)
    this.#fed += bytes.length
    this.#mayPass = this.#allowed(bytes)
  }

  /** What may go to the client now. */
  take(): Buffer {
    const all = this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held)
    const passing = all.subarray(0, Math.max(0, this.#mayPass - this.#passed))
    this.#passed += passing.length
    // A copy: the handler may use its buffer again once its write has returned.
    this.#held = passing.length < all.length ? [Buffer.from(all.subarray(passing.length))] : []
    return passing
  }

  /** The answer must not go out, and no event can say so: 503 where the head has not been sent, and else a cut connection. */
  get refused(): boolean {
    return this.stored === 'withheld' && !this.#mayComment
  }

  /**
   * End the turn and wait for its commit. Returns what was held back, after a comment when a stream could not be stored. Where
   * the answer is withheld: a stream's last event that says so, or the body of the 503 when `refused`.
   */
  async settle(): Promise<Buffer> {
    if (this.stored === 'withheld') return Buffer.alloc(0)
    if (this.#settled) return this.take()
    await this.#decoder?.end()
    const ended = this.#recorder?.end()
    if (ended?.error !== undefined && this.turn.status === 'open') this.options.onUnread(ended.error)
    this.stored = ended ? await this.turn.settle(ended) : await this.turn.fail()
    this.#settled = true
    if (this.stored === 'withheld') return this.#withhold()
    this.#mayPass = this.#fed
    const rest = this.take()
    return this.#tells ? Buffer.concat([troubleComment(this.stored), rest]) : rest
  }

  /** An answer that failed was none to store, and what was held of it need not begin at an event. */
  get #tells(): boolean {
    const outcome = this.#recorder?.outcome
    return this.#mayComment && isTrouble(this.stored) && (outcome === 'more' || outcome === 'end')
  }

  /** The events before the last word are the client's all the same. */
  #withhold(): Buffer {
    const before = this.take()
    this.#held = []
    const { body } = this.turn.failure(this.#mayComment ? 'stream' : 'json')
    return this.#mayComment ? Buffer.concat([before, Buffer.from(body)]) : Buffer.from(body)
  }

  #allowed(bytes: Buffer): number {
    if (this.#settled || !this.#recorder) return this.#fed
    if (!this.#decoder) return this.#recorder.write(bytes)
    this.#decoder.write(bytes)
    return this.#fed - 1
  }
}

/** What `X-History-Stored` says. */
export const storedHeader = (stored: Stored): string => {
  if (stored === 'stored') return 'true'
  return stored === 'deferred' ? 'deferred' : 'false'
}

const isTrouble = (stored: Stored): boolean =>
  stored === 'deferred' || stored === 'refused' || stored === 'lost'

/** A comment line of Server-Sent Events: the only bytes that are ever added to a stream. */
const troubleComment = (stored: Stored): Buffer => Buffer.from(`: turnlog: answer ${stored}, not stored\n`)

/** The framing of an answer by its content type; by its first byte where the handler named none that tells. */
function framingOf(contentType: string | undefined, first: Buffer | undefined): FramingName {
  const type = (contentType ?? '').toLowerCase()
  if (type.includes('text/event-stream')) return 'sse'
  if (type.includes('ndjson') || type.includes('jsonl') || type.includes('json-seq')) return 'ndjson'
  if (type.includes('json')) return 'json'
  const start = first?.toString('latin1').trimStart() ?? ''
  if (start.startsWith('{')) return 'json'
  return /^(?:data|event|id|retry)?:/.test(start) ? 'sse' : 'text'
}
