import { Tiktoken } from 'tiktoken/lite'

import { isObject } from '../model/json.js'

interface Ranks {
  readonly bpe_ranks: string
  readonly special_tokens: Record<string, number>
  readonly pat_str: string
}

const warmUp = 'Words, 123 and \n signs {"of": [all]} kinds: 一二三。'

/** `module`: the ranks, or, as the types see it and some bundlers do, a module whose default they are. */
export function encoder(module: unknown): Tiktoken {
  const ranks = (isObject(module) && isObject(module.default) ? module.default : module) as Ranks
  const tiktoken = new Tiktoken(ranks.bpe_ranks, ranks.special_tokens, ranks.pat_str)
  // The first call is ten times slower than the others: better here than in a request.
  for (let call = 0; call < 10; call++) tiktoken.encode_ordinary(`${warmUp} `.repeat(call))
  return tiktoken
}
