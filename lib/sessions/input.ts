import { InvalidRequest } from '../model/errors.js'
import type { Fault, Rule } from '../model/rule.js'

/** A wrong argument is the caller's fault. */
export const invalid: Fault = (message, param) => new InvalidRequest(message, { param })

/** A known field whose value is checked elsewhere. */
export const anything: Rule = { must: 'given', holds: () => true }
