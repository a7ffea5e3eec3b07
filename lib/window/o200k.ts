import ranks from 'tiktoken/encoders/o200k_base'

import { encoder } from './encoder.js'

/** Importing this file loads it: a second's work, for the process once. */
export const o200k = encoder(ranks)
