import { Worker } from 'node:worker_threads'

import type { CountAsked, CountSaid } from './thread-program.js'
import { LocalTokenizer, type Encoding, type Tokenizer } from './tokenizer.js'

const ownFile = /\bthread-tokenizer\.js$/

/** The program of a counting thread; none where a bundler took this file into another, or sources run as they are. */
const ownProgram =
  typeof __filename === 'string' && ownFile.test(__filename)
    ? __filename.replace(ownFile, 'thread-program.js')
    : undefined

/** Counts in a thread of its own where there is a program for one, else in this. */
export const openTokenizer = (program = ownProgram): Tokenizer =>
  program === undefined ? new LocalTokenizer() : new ThreadTokenizer(program)

interface Waiting {
  resolve(tokens: number[]): void
  reject(error: Error): void
}

/**
 * Counts in a thread, so that neither loading an encoding nor a long text holds the host's event loop. The thread starts with
 * the first count, keeps the process alive only while something is being counted, and starts again after it died.
 */
export class ThreadTokenizer implements Tokenizer {
  readonly #program: string
  readonly #loading = new Map<Encoding, Promise<void>>()
  readonly #loaded = new Set<Encoding>()
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #asked = 0
  #closed = false

  constructor(program: string) {
    this.#program = program
  }

  load(encoding: Encoding): Promise<void> {
    const known = this.#loading.get(encoding)
    if (known) return known
    const loading = this.count(encoding, []).then(() => void this.#loaded.add(encoding))
    this.#loading.set(encoding, loading)
    loading.catch(() => this.#loading.delete(encoding))
    return loading
  }

  isLoaded(encoding: Encoding): boolean {
    return this.#loaded.has(encoding)
  }

  async count(encoding: Encoding, groups: readonly (readonly string[])[]): Promise<number[]> {
    if (this.#closed) throw new Error('The thread that counts tokens was closed.')
    const worker = (this.#worker ??= this.#start())
    const id = ++this.#asked
    const counted = new Promise<number[]>((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    worker.ref()
    worker.postMessage({ id, encoding, groups } satisfies CountAsked)
    return counted
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#worker?.terminate()
  }

  #start(): Worker {
    // Nothing that the host runs its own threads with: what it preloads is not for this one.
    const worker = new Worker(this.#program, { execArgv: [], env: {} })
    let fault = new Error('The thread that counts tokens ended.')
    worker.on('message', (said: CountSaid) => this.#settle(worker, said))
    worker.on('error', (error: Error) => (fault = error))
    worker.on('exit', () => this.#end(fault))
    return worker
  }

  #settle(worker: Worker, said: CountSaid): void {
    const waiting = this.#waiting.get(said.id)
    this.#waiting.delete(said.id)
    if (this.#waiting.size === 0) worker.unref()
    if ('tokens' in said) waiting?.resolve(said.tokens)
    else waiting?.reject(new Error(said.fault))
  }

  #end(fault: Error): void {
    this.#worker = undefined
    this.#loaded.clear()
    this.#loading.clear()
    for (const waiting of this.#waiting.values()) waiting.reject(fault)
    this.#waiting.clear()
  }
}
