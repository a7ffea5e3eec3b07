import { asBuffer, Bytes, withoutBom } from './bytes.js'
import { noEvents, type FramedEvent, type Framing } from './framing.js'

const LF = 0x0a

export interface NdjsonOptions {
  /** The most bytes that one line may take, its line feed not counted. Default 1 MiB. */
  readonly eventBytes?: number
}

/** Lines of JSON: each that is not blank is an event, the last one also without a line feed. */
export class NdjsonFraming implements Framing {
  boundary = 0
  overflow = false
  readonly #eventBytes: number
  readonly #line = new Bytes()
  #fed = 0

  constructor({ eventBytes = 1_048_576 }: NdjsonOptions = {}) {
    this.#eventBytes = eventBytes
  }

  push(chunk: Uint8Array): readonly FramedEvent[] {
    if (this.overflow) return noEvents
    const bytes = asBuffer(chunk)
    const events: FramedEvent[] = []
    let from = 0
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, from)) {
      if (this.#outgrows(this.#fed + at)) return events
      this.#line.append(bytes.subarray(from, at))
      from = at + 1
      this.#read(this.#fed + from, events)
    }
    this.#fed += bytes.length
    if (!this.#outgrows(this.#fed)) this.#line.append(bytes.subarray(from))
    return events
  }

  flush(): readonly FramedEvent[] {
    const events: FramedEvent[] = []
    if (this.#line.length > 0) this.#read(this.#fed, events)
    return events
  }

  #read(end: number, events: FramedEvent[]): void {
    const start = this.boundary
    this.boundary = end
    const line = this.#line.take()
    const data = (start === 0 ? withoutBom(line) : line).trim()
    if (data !== '') events.push({ data, start, end })
  }

  #outgrows(end: number): boolean {
    if (end - this.boundary <= this.#eventBytes) return false
    this.overflow = true
    this.#line.clear()
    return true
  }
}
