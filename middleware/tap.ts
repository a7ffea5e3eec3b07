import type { ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'

import type { Turn } from '../lib/index.js'
import { Gate, storedHeader, type GateOptions } from './gate.js'
import { keepHead } from './head.js'

type Callback = (error?: Error | null) => void

/** A call that the handler made while the end of its answer waited for the commit. */
type Waiting = {
  readonly end: boolean
  readonly bytes: Buffer | undefined
  readonly callback: Callback | undefined
}

export interface TapOptions extends GateOptions {
  /** `finish`: go on recording when the client is gone. */
  readonly onDisconnect: 'abort' | 'finish'
  /** The client is gone before the end. */
  readonly onGone: () => void
}

/** A response that is tapped. */
export interface Tapped {
  /** Whether the handler has written to the response itself. */
  readonly used: boolean
  /** From now on bytes pass unseen: the answer is recorded elsewhere. That the client goes away is still told. */
  letGo(): void
}

/** Joins a turn to a live response at `res.write`, `res.end` and `res.destroy`; with `finish` it also holds back the response's `close`. */
export function tap(res: ServerResponse, turn: Turn, options: TapOptions): Tapped {
  const joined = new Tap(res, turn, options)
  res.write = joined.write as ServerResponse['write']
  res.end = joined.end as ServerResponse['end']
  res.destroy = joined.destroy
  return joined
}

class Tap implements Tapped {
  readonly #originalWrite: (...args: unknown[]) => boolean
  readonly #originalEnd: (...args: unknown[]) => ServerResponse
  readonly #originalDestroy: ServerResponse['destroy']
  readonly #originalEmit: (event: string, ...args: unknown[]) => boolean
  #gate: Gate | undefined
  /** What the handler does while the end waits; `undefined` when nothing waits. */
  #waiting: Waiting[] | undefined
  /** Brings the head back to what it was when the waiting end was called. */
  #restoreHead = (): void => undefined
  #owesDrain = false
  #owesClose = false
  #ended = false
  #seen = true
  /** The answer was withheld: what the handler still says is heard by nobody. */
  #deaf = false

  constructor(
    private readonly res: ServerResponse,
    private readonly turn: Turn,
    private readonly options: TapOptions,
  ) {
    this.#originalWrite = res.write.bind(res) as (...args: unknown[]) => boolean
    this.#originalEnd = res.end.bind(res) as (...args: unknown[]) => ServerResponse
    this.#originalDestroy = res.destroy.bind(res)
    this.#originalEmit = res.emit.bind(res)
    // The client may have gone while the turn began.
    if (res.closed) queueMicrotask(() => this.#onClose())
    else if (options.onDisconnect === 'abort') res.once('close', () => this.#onClose())
    else this.#keepOpen()
    res.on('pipe', (source: Readable) => this.#watch(source))
  }

  /**
   * With `finish` the handler goes on as if its client were there: a pipeline, a pipe and whoever else listens hear that the
   * response has closed when the answer is whole or the turn is over, and not before.
   */
  #keepOpen(): void {
    const { res, turn } = this
    res.emit = ((event: string, ...args: unknown[]) => {
      if (event !== 'close' || this.#ended || !this.#seen || turn.status !== 'open')
        return this.#originalEmit(event, ...args)
      this.#owesClose = true
      this.#onClose()
      return true
    }) as ServerResponse['emit']
    turn.signal.addEventListener('abort', () => this.#close(), { once: true })
  }

  #close(): void {
    if (!this.#owesClose) return
    this.#owesClose = false
    this.#originalEmit('close')
  }

  get used(): boolean {
    return this.#gate !== undefined
  }

  letGo(): void {
    this.#seen = false
    this.#close()
  }

  readonly write = (chunk: unknown, ...rest: unknown[]): boolean => {
    const bytes = bytesOf(chunk, rest[0])
    const callback = callbackOf(rest)
    if (this.#deaf) return this.#ignore(callback)
    if (bytes === undefined || this.#ended || !this.#seen) return this.#originalWrite(chunk, ...rest)
    if (this.#waiting) return this.#wait({ end: false, bytes, callback })
    if (bytes.length === 0) return this.#pass(bytes, callback)
    const gate = this.#gateFor(bytes)
    gate.feed(bytes)
    const more = this.#pass(gate.take(), callback)
    if (gate.ending) this.#settle(gate)
    return this.#waiting ? this.#owe() : more
  }

  readonly end = (...args: unknown[]): ServerResponse => {
    if (this.#deaf) {
      this.#ignore(callbackOf(args))
      return this.res
    }
    if (this.#ended || !this.#seen) {
      this.#ended = true
      return this.#originalEnd(...args)
    }
    const bytes = bytesOf(args[0], args[1])
    if (!bytes && !isNothing(args[0])) return this.#originalEnd(...args)
    const last = { end: true, bytes, callback: callbackOf(args) }
    if (this.#waiting) {
      this.#wait(last)
      return this.res
    }
    const gate = this.#gateFor(bytes ?? noBytes)
    if (bytes) gate.feed(bytes)
    this.#settle(gate)
    this.#wait({ ...last, bytes: undefined })
    return this.res
  }

  /** A handler that destroys its response gives up, whether its client is there or not: there is no more to come. */
  readonly destroy: ServerResponse['destroy'] = (error) => {
    if (this.#seen && !this.#ended && !this.#waiting) void this.turn.interrupt()
    const destroyed = this.#originalDestroy(error)
    this.#close()
    return destroyed
  }

  /** What the answer is shows when its first byte comes: status and headers are set by then. */
  #gateFor(first: Buffer): Gate {
    const { res } = this
    this.#gate ??= new Gate(
      this.turn,
      {
        status: res.statusCode,
        contentType: headerText(res.getHeader('content-type')),
        contentEncoding: headerText(res.getHeader('content-encoding')),
        contentLength: headerText(res.getHeader('content-length')),
      },
      first,
      this.options,
    )
    return this.#gate
  }

  #settle(gate: Gate): void {
    this.#waiting = []
    gate
      .settle()
      .then((rest) => this.#resume(gate, rest))
      // Such as a head that Node refuses to write: nobody is left to throw it at.
      .catch((fault: unknown) => this.res.destroy(fault as Error))
  }

  #wait(call: Waiting): boolean {
    if (this.#waiting?.some(({ end }) => end)) return this.#refuse(call)
    if (call.end) this.#restoreHead = keepHead(this.res)
    this.#waiting?.push(call)
    return this.#owe()
  }

  /** The first end counts. What follows it is told so, as Node does, but takes nothing down. */
  #refuse({ end, bytes, callback }: Waiting): false {
    if (!callback) return false
    if (end && !bytes) this.res.on('finish', callback)
    else process.nextTick(callback, writeAfterEnd())
    return false
  }

  #owe(): false {
    this.#owesDrain = true
    return false
  }

  /** The turn has ended: what was held goes out, then what the handler did meanwhile, in its order. */
  #resume(gate: Gate, rest: Buffer): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    this.#restoreHead()
    if (!this.res.headersSent) this.res.setHeader('X-History-Stored', storedHeader(gate.stored))
    if (gate.stored === 'withheld') this.#withhold(gate, rest, waiting)
    else this.#resumeCalls(waiting, rest)
  }

  #resumeCalls(waiting: readonly Waiting[], rest: Buffer): void {
    const [first] = waiting
    if (first?.end) return this.#finish(joined(rest, first.bytes), first.callback)
    this.#pass(rest, undefined)
    for (const call of waiting) {
      if (call.end) this.#finish(call.bytes, call.callback)
      else this.#pass(call.bytes ?? noBytes, call.callback)
    }
    if (this.#owesDrain && !this.#ended && !this.res.writableNeedDrain) this.res.emit('drain')
    this.#owesDrain = false
  }

  /** An event ends a stream; anything else becomes a 503, or is cut off where the client has its head already. */
  #withhold(gate: Gate, rest: Buffer, waiting: readonly Waiting[]): void {
    const { res } = this
    this.#deaf = true
    for (const { callback } of waiting) this.#ignore(callback)
    if (!gate.refused) return this.#finish(rest, undefined)
    if (res.headersSent) return void res.destroy()
    res.statusCode = 503
    res.statusMessage = ''
    for (const name of ['content-encoding', 'transfer-encoding', 'etag', 'last-modified', 'cache-control'])
      res.removeHeader(name)
    res.setHeader('Content-Type', 'application/json; charset=utf-8')
    res.setHeader('Content-Length', rest.length)
    res.setHeader('Retry-After', '1')
    this.#finish(rest, undefined)
  }

  #ignore(callback: Callback | undefined): true {
    if (callback) process.nextTick(callback)
    return true
  }

  #finish(bytes: Buffer | undefined, callback: Callback | undefined): void {
    this.#ended = true
    if (this.#isGone) {
      callback?.()
      this.#close()
    } else this.#originalEnd(...(bytes && bytes.length > 0 ? [bytes, callback] : [callback]))
  }

  /** A write without bytes passes too: it sends the head, and its callback keeps its place. */
  #pass(bytes: Buffer, callback: Callback | undefined): boolean {
    if (!this.#isGone) return this.#originalWrite(bytes, callback)
    if (callback) process.nextTick(callback)
    return true
  }

  /** In `finish` the handler goes on as if the client were there. */
  get #isGone(): boolean {
    return this.options.onDisconnect === 'finish' && this.res.destroyed
  }

  #onClose(): void {
    if (this.#ended || this.#waiting) return
    if (this.options.onDisconnect === 'abort') return this.options.onGone()
    // With `finish` the handler goes on, also where it waits for the socket to drain.
    this.res.emit('drain')
  }

  /** A pipeline destroys its source when the response has closed, also before its first byte: there is no more to come. */
  #watch(source: Readable): void {
    source.once('close', () => {
      if (this.#isGone && !this.#ended && !this.#waiting) void this.turn.interrupt()
    })
  }
}

const noBytes = Buffer.alloc(0)

const writeAfterEnd = (): Error =>
  Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })

const isNothing = (chunk: unknown): boolean =>
  chunk === undefined || chunk === null || typeof chunk === 'function'

const joined = (rest: Buffer, more: Buffer | undefined): Buffer => (more ? Buffer.concat([rest, more]) : rest)

const headerText = (value: number | string | string[] | undefined): string | undefined => value?.toString()

/** The bytes of what a handler writes; `undefined` for what Node itself is to refuse. */
function bytesOf(chunk: unknown, encoding: unknown): Buffer | undefined {
  if (typeof chunk === 'string') {
    return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
  }
  if (Buffer.isBuffer(chunk)) return chunk
  return chunk instanceof Uint8Array
    ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    : undefined
}

const callbackOf = (args: readonly unknown[]): Callback | undefined =>
  args.find((argument): argument is Callback => typeof argument === 'function')
