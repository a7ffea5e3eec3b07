import { StringDecoder } from 'node:string_decoder'

import { asBuffer, withoutBom } from './bytes.js'
import { noEvents, type FramedEvent, type Framing } from './framing.js'

/** Plain text as it comes: every piece is an event, so that a text that breaks off keeps what was said. */
export class TextFraming implements Framing {
  boundary = 0
  readonly overflow = false
  readonly #decoder = new StringDecoder('utf8')
  #fed = 0
  #isFirst = true

  push(chunk: Uint8Array): readonly FramedEvent[] {
    this.#fed += chunk.length
    // A chunk may end inside a character.
    return this.#event(this.#decoder.write(asBuffer(chunk)))
  }

  flush(): readonly FramedEvent[] {
    return this.#event(this.#decoder.end())
  }

  #event(text: string): readonly FramedEvent[] {
    const data = this.#isFirst ? withoutBom(text) : text
    if (text !== '') this.#isFirst = false
    const start = this.boundary
    this.boundary = this.#fed
    return data === '' ? noEvents : [{ data, start, end: this.#fed }]
  }
}
