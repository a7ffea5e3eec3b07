import { Duplex } from 'node:stream'

/** What we use of PGlite: one message of Postgres's protocol, or several, in; the answer out. */
export interface WireDatabase {
  execProtocolRaw(message: Uint8Array): Promise<Uint8Array>
  runExclusive<Outcome>(work: () => Promise<Outcome>): Promise<Outcome>
  exec(sql: string): Promise<unknown>
}

const lengthBytes = 4
const typeBytes = 1
const terminate = 'X'.charCodeAt(0)
/** After these the client waits for an answer: simple query, sync, flush, and the replies to an authentication. */
const waiting = new Set(['Q', 'S', 'H', 'p', 'F', 'f', 'c'].map((letter) => letter.charCodeAt(0)))

/** The socket that the ordinary pg client writes to; behind it is a database in this process. */
export class PgliteStream extends Duplex {
  private arrived: Buffer = Buffer.alloc(0)
  /** Whole messages since the last answer. */
  private batch: Buffer[] = []
  /** The first message of a connection has no type byte. */
  private started = false

  constructor(private readonly database: WireDatabase) {
    super()
  }

  /** pg connects its socket; here nothing is to be done but to say so. */
  connect(): this {
    process.nextTick(() => this.emit('connect'))
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.arrived = this.arrived.length === 0 ? chunk : Buffer.concat([this.arrived, chunk])
    void this.answer(done)
  }

  override _final(done: () => void): void {
    this.push(null)
    done()
  }

  private async answer(done: (error?: Error | null) => void): Promise<void> {
    try {
      for (let message = this.next(); message !== undefined; message = this.next())
        await this.receive(message)
      done()
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  }

  private async receive(message: Buffer): Promise<void> {
    const [type] = message
    if (this.started && type === terminate) {
      this.push(null)
      return
    }
    this.batch.push(message)
    if (this.started && !waiting.has(type!)) return
    // The session inside never ends: what a connection that was cut left open is undone by the next.
    if (!this.started) await this.database.exec('rollback')
    this.started = true
    const whole = Buffer.concat(this.batch)
    this.batch = []
    const reply = await this.database.runExclusive(() => this.database.execProtocolRaw(whole))
    if (!this.destroyed) this.push(Buffer.from(reply))
  }

  /** The next whole message; a chunk may end inside one. */
  private next(): Buffer | undefined {
    const head = this.started ? typeBytes : 0
    if (this.arrived.length < head + lengthBytes) return undefined
    const length = head + this.arrived.readUInt32BE(head)
    if (this.arrived.length < length) return undefined
    const message = this.arrived.subarray(0, length)
    this.arrived = this.arrived.subarray(length)
    return message
  }
}
