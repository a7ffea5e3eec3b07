import { anything, checkFields, integer } from '../model/rule.js'
import { highestTurn, type TurnRecord } from '../model/turn.js'
import type { Store } from '../store/store.js'
import { invalid, sessionKey } from './input.js'
import type { UserId } from './sessions.js'

export interface FindTurn {
  readonly userId: UserId
  readonly sessionId: string
  /** 1, 2, 3 … */
  readonly turn: number
}

/** What became of each request of a session. */
export interface Turns {
  /** `undefined` when the user has no such session or it no such turn. */
  find(turn: FindTurn): Promise<TurnRecord | undefined>
}

export function createTurns(store: Store): Turns {
  const rules = { userId: anything, sessionId: anything, turn: integer(1, highestTurn) }
  return {
    async find(given) {
      checkFields(given, rules, invalid)
      const { userId, sessionId, turn } = given
      return await store.findTurn({ ...sessionKey(userId, sessionId), turn })
    },
  }
}
