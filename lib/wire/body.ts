import { Bytes, withoutBom } from './bytes.js'
import { noEvents, type FramedEvent, type Framing } from './framing.js'

export interface BodyOptions {
  /** The most bytes that the body may have. Default 16 MiB. */
  readonly bytes?: number
}

/** A JSON or text body: the whole of it is one event, at its end. */
export class BodyFraming implements Framing {
  boundary = 0
  overflow = false
  readonly #cap: number
  readonly #body = new Bytes()

  constructor({ bytes = 16_777_216 }: BodyOptions = {}) {
    this.#cap = bytes
  }

  push(chunk: Uint8Array): readonly FramedEvent[] {
    if (this.overflow) return noEvents
    this.overflow = this.#body.length + chunk.length > this.#cap
    if (this.overflow) this.#body.clear()
    else this.#body.append(chunk)
    return noEvents
  }

  flush(): readonly FramedEvent[] {
    const end = this.#body.length
    if (end === 0) return noEvents
    this.boundary = end
    return [{ data: withoutBom(this.#body.take()), start: 0, end }]
  }
}
