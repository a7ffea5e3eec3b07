import { pipeline, Readable, Stream, Transform, type TransformCallback } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'

import type { Context } from 'koa'

import { HistoryUnavailable, type Turn } from '../lib/index.js'
import { Gate, storedHeader, type GateOptions } from './gate.js'

/** Record what Koa is about to send. Bodies that are whole wait for the commit; streams pass, and their end waits. */
export async function passAnswer(ctx: Context, turn: Turn, options: GateOptions): Promise<void> {
  const body: unknown = ctx.body
  if (body === undefined || body === null || isNoAnswer(ctx.status)) {
    await turn.fail()
    return tellStored(ctx, 'nothing')
  }
  // Read now: what is mounted outside may change them before the first byte comes.
  const head = headOf(ctx)
  const makeGate = (first: Buffer): Gate => new Gate(turn, head, first, options)
  const stream = streamOf(body)
  if (stream) return passStream(ctx, turn, stream, makeGate)
  await holdBody(ctx, await bytesOf(body), makeGate)
}

/** A redirect or a provider's error is no answer, and neither is a status that has no body. */
const isNoAnswer = (status: number): boolean => status >= 300 || status === 204 || status === 205

const headOf = (ctx: Context) => ({
  status: ctx.status,
  contentType: ctx.response.get('Content-Type'),
  contentEncoding: ctx.response.get('Content-Encoding') || undefined,
  contentLength: ctx.response.get('Content-Length') || undefined,
})

function tellStored(ctx: Context, stored: Gate['stored']): void {
  if (!ctx.headerSent) ctx.set('X-History-Stored', storedHeader(stored))
}

/** The body stays what it is, for what is mounted outside to read; only a stream in one piece may have to get its comment. */
async function holdBody(ctx: Context, bytes: Buffer, makeGate: (first: Buffer) => Gate): Promise<void> {
  const gate = makeGate(bytes)
  gate.feed(bytes)
  const sent = await gate.settle()
  tellStored(ctx, gate.stored)
  if (gate.refused) refuse(ctx)
  if (gate.stored === 'withheld' || sent.length !== bytes.length) ctx.body = sent
}

/** The answer is withheld: its body is that of a 503. */
function refuse(ctx: Context): void {
  for (const name of ['Content-Encoding', 'ETag', 'Last-Modified']) ctx.remove(name)
  ctx.status = 503
  ctx.set('Content-Type', 'application/json; charset=utf-8')
  ctx.set('Retry-After', '1')
}

function passStream(
  ctx: Context,
  turn: Turn,
  source: NodeJS.ReadableStream,
  makeGate: (first: Buffer) => Gate,
): void {
  const length = ctx.response.get('Content-Length')
  const isBody = source === ctx.body
  const passage = new Passage(makeGate, (gate) => tellStored(ctx, gate.stored))
  ctx.body = passage
  if (length) ctx.set('Content-Length', length)
  // Koa 2 listens for errors of every body it is given: one that it hears from the source it need not hear again.
  if (isBody) passage.removeAllListeners('error')
  pipeline(source, passage, (error) => {
    if (!error) return
    void turn.interrupt()
    // Koa 2 pipes, and a pipe leaves the client waiting when its source dies.
    if (ctx.headerSent) ctx.res.destroy()
  })
}

/** Lets a stream through a gate. */
class Passage extends Transform {
  #gate: Gate | undefined

  constructor(
    private readonly makeGate: (first: Buffer) => Gate,
    private readonly onSettled: (gate: Gate) => void,
  ) {
    super()
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#gate ??= this.makeGate(chunk)
    this.#gate.feed(chunk)
    this.push(this.#gate.take())
    if (!this.#gate.ending) return done()
    void this.#settle(this.#gate, done)
  }

  override _flush(done: TransformCallback): void {
    void this.#settle((this.#gate ??= this.makeGate(Buffer.alloc(0))), done)
  }

  async #settle(gate: Gate, done: TransformCallback): Promise<void> {
    const rest = await gate.settle()
    this.onSettled(gate)
    if (gate.refused) done(new HistoryUnavailable())
    else done(null, rest)
  }
}

/** Every kind of stream that Koa sends, as one of Node's; nothing for what is whole. */
function streamOf(body: unknown): NodeJS.ReadableStream | undefined {
  if (body instanceof Stream || has(body, 'pipe')) return body as NodeJS.ReadableStream
  if (has(body, 'getReader')) return Readable.fromWeb(body as ReadableStream)
  if (!isResponse(body)) return undefined
  return body.body ? Readable.fromWeb(body.body) : Readable.from([])
}

const has = (value: unknown, method: string): boolean =>
  typeof (value as { [name: string]: unknown } | null)?.[method] === 'function'

const isResponse = (body: unknown): body is Response => has(body, 'arrayBuffer') && has(body, 'clone')

/** What Koa makes of a body that is whole. */
async function bytesOf(body: unknown): Promise<Buffer> {
  if (Buffer.isBuffer(body)) return body
  if (typeof body === 'string') return Buffer.from(body)
  if (has(body, 'arrayBuffer')) return Buffer.from(await (body as Blob).arrayBuffer())
  return Buffer.from(JSON.stringify(body))
}
