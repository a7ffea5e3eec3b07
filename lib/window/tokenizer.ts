import type { Tiktoken } from 'tiktoken/lite'

import { slicesOf } from './slices.js'

/** The encodings that Turnlog counts with; other providers' tokens are estimated with the newer one. */
export type Encoding = 'cl100k_base' | 'o200k_base'

/** Counts texts in an encoding that it loads when first asked. */
export interface Tokenizer {
  /** Resolves when the encoding is ready. Repeated calls are cheap; after a failure the next call tries again. */
  load(encoding: Encoding): Promise<void>
  /** Whether counting begins at once. */
  isLoaded(encoding: Encoding): boolean
  /** Tokens of each group of texts. Special tokens are text. Loads what is not loaded; rejects where that fails, or after `close`. */
  count(encoding: Encoding, groups: readonly (readonly string[])[]): Promise<number[]>
  /** Ends what it runs on: what is being counted rejects. Repeated calls do nothing. */
  close(): Promise<void>
}

// Long enough to be worth a turn of the event loop, short enough that nobody notices.
const busyMs = 2

/** Counts in the thread that asks. Long texts let its event loop turn in between; loading holds it for up to a second. */
export class LocalTokenizer implements Tokenizer {
  readonly #loading = new Map<Encoding, Promise<Tiktoken>>()
  readonly #loaded = new Set<Encoding>()

  async load(encoding: Encoding): Promise<void> {
    await this.#tiktoken(encoding)
  }

  isLoaded(encoding: Encoding): boolean {
    return this.#loaded.has(encoding)
  }

  async count(encoding: Encoding, groups: readonly (readonly string[])[]): Promise<number[]> {
    const tiktoken = await this.#tiktoken(encoding)
    const pause = new Pause()
    const tokens: number[] = []
    for (const texts of groups) {
      let sum = 0
      for (const text of texts) sum += await countText(tiktoken, text, pause)
      tokens.push(sum)
    }
    return tokens
  }

  /** What is loaded serves the whole process, and stays. */
  async close(): Promise<void> {}

  #tiktoken(encoding: Encoding): Promise<Tiktoken> {
    const known = this.#loading.get(encoding)
    if (known) return known
    const loading = loadEncoding(encoding)
    this.#loading.set(encoding, loading)
    loading.then(
      () => this.#loaded.add(encoding),
      () => this.#loading.delete(encoding),
    )
    return loading
  }
}

const loadEncoding = async (encoding: Encoding): Promise<Tiktoken> =>
  encoding === 'cl100k_base' ? (await import('./cl100k.js')).cl100k : (await import('./o200k.js')).o200k

async function countText(tiktoken: Tiktoken, text: string, pause: Pause): Promise<number> {
  let tokens = 0
  let before = { slice: '', tokens: 0 }
  for (const slice of slicesOf(text)) {
    // What is costly to count is mostly the same again.
    if (slice !== before.slice) before = { slice, tokens: tiktoken.encode_ordinary(slice).length }
    tokens += before.tokens
    if (pause.isDue) await pause.take()
  }
  return tokens
}

/** Lets the event loop turn after every two milliseconds of work. */
class Pause {
  #since = performance.now()

  get isDue(): boolean {
    return performance.now() - this.#since >= busyMs
  }

  async take(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#since = performance.now()
  }
}
