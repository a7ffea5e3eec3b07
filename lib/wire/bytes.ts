/** A buffer larger than this is let go once it was read: one long line must not weigh on a whole stream. */
const keptBytes = 16_384

/** The same bytes as a `Buffer`, which decodes slices faster than a `TextDecoder`. Copies nothing. */
export const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Text without the byte order mark that may open it. */
export const withoutBom = (text: string): string => (text.startsWith('\uFEFF') ? text.slice(1) : text)

/** Bytes gathered from chunks until something is whole. They are copied: a writer may use its chunk again. */
export class Bytes {
  #buffer = Buffer.alloc(0)
  #length = 0

  get length(): number {
    return this.#length
  }

  append(chunk: Uint8Array): void {
    const length = this.#length + chunk.length
    if (length > this.#buffer.length) this.#grow(length)
    this.#buffer.set(chunk, this.#length)
    this.#length = length
  }

  /** The text gathered so far; what follows begins anew. */
  take(): string {
    const text = this.#buffer.toString('utf8', 0, this.#length)
    this.clear()
    return text
  }

  clear(): void {
    this.#length = 0
    if (this.#buffer.length > keptBytes) this.#buffer = Buffer.alloc(0)
  }

  // Doubling keeps a stream that arrives byte by byte linear.
  #grow(length: number): void {
    const buffer = Buffer.alloc(Math.max(length, this.#buffer.length * 2, 256))
    buffer.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = buffer
  }
}
