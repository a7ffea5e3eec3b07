import type { StreamEvent } from './format.js'

/** How an answer's bytes are cut: Server-Sent Events, lines of JSON, one JSON body, or text as it comes. */
export type FramingName = 'sse' | 'ndjson' | 'json' | 'text'

/** An event and the bytes that it stands in, counted from the first byte that was fed. */
export interface FramedEvent extends StreamEvent {
  /** Where its first line begins: everything before may be passed on without a byte of it. */
  readonly start: number
  /** Where it ends, its line ends included. A line feed that only the next chunk brings is counted to `boundary`. */
  readonly end: number
}

/** Finds the events in a stream of bytes, however these are cut. Holds the state of one stream; used once. */
export interface Framing {
  /** Feed the next bytes, of any number. Returns the events that they complete, in order; none after an overflow. */
  push(chunk: Uint8Array): readonly FramedEvent[]
  /** The stream is over: what its end completes. Repeated it returns nothing. */
  flush(): readonly FramedEvent[]
  /** How many of the bytes fed so far belong to nothing unfinished. Never falls. */
  readonly boundary: number
  /** True once something unfinished outgrew its cap: nothing is parsed or kept from then on. */
  readonly overflow: boolean
}

/** What a framing returns when nothing was completed. */
export const noEvents: readonly FramedEvent[] = []
