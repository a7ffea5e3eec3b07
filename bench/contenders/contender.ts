import type { Depth, Place } from '../places.js'

/** One way to keep a conversation: what is measured side by side. */
export interface Contender {
  readonly name: string
  /** Whether it is this package. */
  readonly isOurs: boolean
  /** Fill the sessions of one length. */
  load(depth: Depth): Promise<void>
  /** One turn: store the question, get the newest 20 messages, store the answer. */
  turn(place: Place): Promise<void>
  close(): Promise<void>
}

/** Messages of history in every prompt. */
export const windowMessages = 20
