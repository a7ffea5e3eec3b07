import { ownCopy } from '../model/copy.js'
import { isObject, parseJson } from '../model/json.js'
import { BodyFraming } from '../wire/body.js'
import type { Answer, AnswerReader, Format, Reading } from '../wire/format.js'
import type { FramedEvent, Framing, FramingName } from '../wire/framing.js'
import { NdjsonFraming } from '../wire/ndjson.js'
import { SseFraming } from '../wire/sse.js'
import { TextFraming } from '../wire/text.js'

export interface RecorderOptions {
  readonly format: Pick<Format, 'reader'>
  readonly framing: FramingName
  readonly limits?: {
    /** The most bytes of one answer that are recorded. Default 16 MiB. */
    readonly bytes?: number
    /** The most bytes of one event, which is also the most that waits for its end. Default 1 MiB. */
    readonly eventBytes?: number
  }
}

/** `more`: still being said. `end`: the provider's last word was read. `error`: its refusal, or what nobody can read. `overflow`: a cap was passed. */
export type Outcome = Reading | 'overflow'

/** What became of an answer. A failed one is no answer, whatever was said before it failed. */
export interface Recording {
  readonly ending: 'done' | 'interrupted' | 'failed'
  readonly answer?: Answer
  /** Why it failed, without a word of its content. */
  readonly error?: string
}

/** Collects one answer. Three moments: `write` many times, then `end` or `abort`; the first of these wins and the other returns the same. */
export interface Recorder {
  /**
   * Take the next bytes; never throws. Returns how many of all bytes written so far may go to the client now: a number
   * that never falls. The rest is the caller's to hold: an unfinished event until it is whole, and the provider's last
   * word, or the last byte where there is none, until the answer is stored.
   */
  write(chunk: Uint8Array): number
  /** Take what an SDK yields: an event that came parsed, text of the stream, or its bytes. */
  take(item: unknown): void
  /** Pass the items of a stream on unchanged and take each. Ends with the stream, aborts when nobody wants more; a stream that throws has failed. */
  record<Item>(stream: AsyncIterable<Item>): AsyncGenerator<Item, void, undefined>
  /** The response ended. Without a last word, a stream is `done` if it named a finish reason and `interrupted` if not. */
  end(): Recording
  /** The client or the provider is gone: `interrupted` with what was said, unless the last word had been read. */
  abort(): Recording
  readonly outcome: Outcome
  /** How the bytes are cut. */
  readonly framing: FramingName
  /** What was said so far. */
  answer(): Answer | undefined
}

/** A recorder for one answer. */
export const createRecorder = (options: RecorderOptions): Recorder => new AnswerRecorder(options)

class AnswerRecorder implements Recorder {
  readonly #reader: AnswerReader
  readonly #framing: Framing
  readonly #kind: FramingName
  readonly #cap: number
  #outcome: Outcome = 'more'
  #fed = 0
  /** Text in items that came parsed: it has no bytes, and still a cap. */
  #weight = 0
  /** Where the provider's last word begins. */
  #lastWord = 0
  #recording: Recording | undefined

  constructor({
    format,
    framing,
    limits: { bytes = 16_777_216, eventBytes = 1_048_576 } = {},
  }: RecorderOptions) {
    this.#reader = guarded(format.reader())
    this.#kind = framing
    this.#cap = bytes
    this.#framing = framingOf(framing, bytes, eventBytes)
  }

  get outcome(): Outcome {
    return this.#outcome
  }

  get framing(): FramingName {
    return this.#kind
  }

  answer(): Answer | undefined {
    return this.#reader.answer()
  }

  write(chunk: Uint8Array): number {
    this.#fed += chunk.length
    if (this.#recording) return this.#fed
    if (this.#outcome === 'more') this.#read(this.#framing.push(chunk))
    if (this.#outcome === 'more' && (this.#framing.overflow || this.#fed > this.#cap))
      this.#outcome = 'overflow'
    return this.#passing()
  }

  take(item: unknown): void {
    if (typeof item === 'string') this.write(Buffer.from(item))
    else if (item instanceof Uint8Array) this.write(item)
    else if (isObject(item) && this.#outcome === 'more' && !this.#recording) this.#takeChunk(item)
  }

  async *record<Item>(stream: AsyncIterable<Item>): AsyncGenerator<Item, void, undefined> {
    try {
      for await (const item of stream) {
        this.take(item)
        yield item
      }
      this.end()
    } catch (error) {
      // An SDK throws what the provider refuses; what was aborted on purpose is no refusal.
      if (this.#outcome === 'more' && !isAbort(error)) this.#outcome = 'error'
      throw error
    } finally {
      this.abort()
    }
  }

  end(): Recording {
    return (this.#recording ??= this.#conclude(true))
  }

  abort(): Recording {
    return (this.#recording ??= this.#conclude(false))
  }

  #takeChunk(item: Parameters<AnswerReader['chunk']>[0]): void {
    this.#weight += weightOf(item)
    this.#outcome = this.#weight > this.#cap ? 'overflow' : this.#reader.chunk(item)
  }

  #read(events: readonly FramedEvent[]): void {
    for (const event of events) {
      this.#outcome = event.end > this.#cap ? 'overflow' : this.#readEvent(event)
      if (this.#outcome === 'more') continue
      this.#lastWord = event.start
      return
    }
  }

  #readEvent(event: FramedEvent): Outcome {
    if (this.#kind !== 'text') return this.#reader.event(event)
    // A piece of text is a body of its own to the reader, and its end is not the answer's.
    const reading = this.#reader.body(event.data)
    return reading === 'end' ? 'more' : reading
  }

  #passing(): number {
    if (this.#kind === 'sse' && this.#outcome === 'more') return this.#framing.boundary
    if (this.#kind === 'sse' && this.#outcome === 'end') return this.#lastWord
    return Math.max(0, this.#fed - 1)
  }

  #conclude(ended: boolean): Recording {
    if (ended && this.#outcome === 'more') this.#readRest()
    if (this.#outcome === 'overflow')
      return { ending: 'failed', error: 'The answer is larger than it may be.' }
    if (this.#outcome === 'error')
      return { ending: 'failed', error: 'The answer is an error or cannot be read.' }
    const answer = this.answer()
    const isWhole = this.#outcome === 'end' || (ended && answer?.finishReason !== undefined)
    if (!answer)
      return ended || isWhole
        ? { ending: 'failed', error: 'Nothing was answered.' }
        : { ending: 'interrupted' }
    // The calls of an answer that was cut off were never made: nobody brings their results.
    return isWhole ? { ending: 'done', answer } : { ending: 'interrupted', answer: { ...answer, calls: [] } }
  }

  #readRest(): void {
    for (const event of this.#framing.flush()) this.#outcome = this.#readLast(event)
  }

  #readLast(event: FramedEvent): Outcome {
    const { data } = event
    if (this.#kind === 'json') return this.#reader.body(parseJson(data))
    const reading = this.#readEvent(event)
    // An event without its end that is no JSON was cut off with its stream: what came before it was said all the same.
    return reading === 'error' && parseJson(data) === undefined ? 'more' : reading
  }
}

/** A format may be the host's own: what its reader throws fails the answer, and never reaches the response. */
function guarded(reader: AnswerReader): AnswerReader {
  const guard = <Result>(read: () => Result, fallback: Result): Result => {
    try {
      return read()
    } catch {
      return fallback
    }
  }
  return {
    event: (event) => guard(() => reader.event(event), 'error'),
    // The host gets the same object, and may change it.
    chunk: (chunk) => guard(() => reader.chunk(ownCopy(chunk)), 'error'),
    body: (body) => guard(() => reader.body(body), 'error'),
    answer: () => guard(() => reader.answer(), undefined),
  }
}

function framingOf(name: FramingName, bytes: number, eventBytes: number): Framing {
  if (name === 'sse') return new SseFraming({ eventBytes })
  if (name === 'ndjson') return new NdjsonFraming({ eventBytes })
  if (name === 'text') return new TextFraming()
  return new BodyFraming({ bytes })
}

const isAbort = (error: unknown): boolean =>
  error instanceof Error && /Abort/.test(`${error.name} ${error.constructor.name}`)

/** Characters of text in a parsed item, and its fields. Looks at a bounded number of these: an item need not be a tree. */
function weightOf(item: unknown): number {
  const open = [item]
  let weight = 0
  for (const value of open) {
    weight += typeof value === 'string' ? value.length : 1
    if (typeof value !== 'object' || value === null) continue
    for (const field of Object.values(value)) if (open.length < 10_000) open.push(field)
  }
  return weight
}
