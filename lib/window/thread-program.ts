// What a counting thread runs; nothing imports it for more than its types.
import { parentPort } from 'node:worker_threads'

import { LocalTokenizer, type Encoding } from './tokenizer.js'

/** What the host's thread asks: the tokens of each group of texts. */
export interface CountAsked {
  readonly id: number
  readonly encoding: Encoding
  readonly groups: readonly (readonly string[])[]
}

/** What the counting thread says. */
export type CountSaid =
  { readonly id: number; readonly tokens: number[] } | { readonly id: number; readonly fault: string }

const tokenizer = new LocalTokenizer()

async function answer({ id, encoding, groups }: CountAsked): Promise<CountSaid> {
  try {
    return { id, tokens: await tokenizer.count(encoding, groups) }
  } catch (error) {
    return { id, fault: String(error) }
  }
}

// A long one lets others pass.
parentPort?.on(
  'message',
  (asked: CountAsked) => void answer(asked).then((said) => parentPort?.postMessage(said)),
)
