import ranks from 'tiktoken/encoders/cl100k_base'

import { encoder } from './encoder.js'

/** Importing this file loads it: half a second's work, for the process once. */
export const cl100k = encoder(ranks)
