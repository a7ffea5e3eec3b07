import type { JsonObject } from './json.js'
import type { ListedMessage, TurnStatus } from './message.js'
import type { Receipt } from './receipt.js'

/** The largest number of a turn: the column's. */
export const highestTurn = 2_147_483_647

/** A turn as it is listed: what became of one request. */
export interface TurnRecord {
  readonly turn: number
  readonly exchange: number
  readonly status: TurnStatus
  readonly format: string | null
  readonly model: string | null
  /** The provider's id of the answer, and its time in seconds since 1970. */
  readonly responseId: string | null
  readonly responseTime: number | null
  readonly finishReason: string | null
  /** The provider's own usage object. */
  readonly usage: JsonObject | null
  readonly receipt: Receipt | null
  readonly createdAt: Date
  readonly closedAt: Date | null
}

/** A finished turn with its messages, from which an answer is rebuilt for a retry. */
export interface FinishedTurn extends TurnRecord {
  readonly messages: readonly ListedMessage[]
}
