import { asBuffer, Bytes, withoutBom } from './bytes.js'
import { noEvents, type FramedEvent, type Framing } from './framing.js'

const LF = 0x0a
const CR = 0x0d

export interface SseOptions {
  /** The most bytes that one event may take, comments inside it included. Default 1 MiB. */
  readonly eventBytes?: number
}

/**
 * Server-Sent Events as WHATWG HTML §9.2 has them, with the place of every event in the bytes. Own code because no
 * parser on npm tells these places, and the end of an answer is held back at one. Unlike the standard, and like the
 * official clients, an event that lacks its last blank line counts when the stream ends.
 */
export class SseFraming implements Framing {
  boundary = 0
  overflow = false
  readonly #eventBytes: number
  /** A chunk may end inside a line; the rest is the next chunk's head. */
  readonly #line = new Bytes()
  #event: string | undefined
  #data: string | undefined
  /** Whether a field was read since the boundary: a comment before the first field belongs to no event. */
  #begun = false
  #firstLine = true
  /** A chunk may end between CR and LF; the LF is no line end of its own. */
  #endsInCr = false
  #fed = 0

  constructor({ eventBytes = 1_048_576 }: SseOptions = {}) {
    this.#eventBytes = eventBytes
  }

  push(chunk: Uint8Array): readonly FramedEvent[] {
    if (this.overflow || chunk.length === 0) return noEvents
    const bytes = asBuffer(chunk)
    const events: FramedEvent[] = []
    const rest = this.#readLines(bytes, this.#skipSplitLf(bytes), events)
    this.#fed += bytes.length
    this.#endsInCr = bytes[bytes.length - 1] === CR
    if (this.overflow || this.#outgrows(this.#fed)) return events
    if (rest < bytes.length) this.#line.append(bytes.subarray(rest))
    return events
  }

  flush(): readonly FramedEvent[] {
    if (this.overflow) return noEvents
    const events: FramedEvent[] = []
    if (this.#line.length > 0) this.#readLine(this.#unmarked(this.#line.take()), this.#fed, events)
    this.#dispatch(this.#fed, events)
    return events
  }

  #skipSplitLf(bytes: Buffer): number {
    if (!this.#endsInCr || bytes[0] !== LF) return 0
    if (this.boundary === this.#fed) this.boundary += 1
    return 1
  }

  /** Read the lines that end in these bytes; returns where the unfinished one begins. */
  #readLines(bytes: Buffer, first: number, events: FramedEvent[]): number {
    let from = first
    for (let at = lineEnd(bytes, from); at < bytes.length; at = lineEnd(bytes, from)) {
      if (this.#outgrows(this.#fed + at + 1)) return bytes.length
      const line = this.#takeLine(bytes, from, at)
      from = bytes[at] === CR && bytes[at + 1] === LF ? at + 2 : at + 1
      this.#readLine(line, this.#fed + from, events)
    }
    return from
  }

  #takeLine(bytes: Buffer, from: number, at: number): string {
    if (this.#line.length === 0) return this.#unmarked(bytes.toString('utf8', from, at))
    this.#line.append(bytes.subarray(from, at))
    return this.#unmarked(this.#line.take())
  }

  #unmarked(line: string): string {
    if (!this.#firstLine) return line
    this.#firstLine = false
    return withoutBom(line)
  }

  #readLine(line: string, end: number, events: FramedEvent[]): void {
    if (line === '') return this.#dispatch(end, events)
    if (line.startsWith(':')) {
      if (!this.#begun) this.boundary = end
      return
    }
    this.#begun = true
    this.#readField(line)
  }

  #readField(line: string): void {
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'data') this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`
    if (field === 'event') this.#event = value
  }

  #dispatch(end: number, events: FramedEvent[]): void {
    const [start, data, event] = [this.boundary, this.#data, this.#event]
    this.boundary = end
    this.#begun = false
    this.#data = undefined
    this.#event = undefined
    if (data === undefined) return
    events.push(event ? { event, data, start, end } : { data, start, end })
  }

  #outgrows(end: number): boolean {
    if (end - this.boundary <= this.#eventBytes) return false
    this.overflow = true
    this.#line.clear()
    this.#data = undefined
    return true
  }
}

/** Where the line that begins at `from` ends; the length when it does not. */
function lineEnd(bytes: Buffer, from: number): number {
  let at = from
  while (at < bytes.length && bytes[at] !== LF && bytes[at] !== CR) at += 1
  return at
}
