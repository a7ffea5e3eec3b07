import type { HistoryMessage } from './message.js'

/** A turn of the visible history: its messages in order, question first. */
export interface HistoryTurn {
  /** The turn that opened the exchange: a user's question and all the turns of tool steps that follow from it. */
  readonly exchange: number
  readonly turn: number
  readonly status: 'done' | 'interrupted'
  readonly messages: readonly HistoryMessage[]
}

/**
 * The newest part of a session's visible history, true at one revision: what a cache keeps and what a window is cut from.
 * Open, failed, superseded, cleared and deleted turns are not in it. Caches and prompts share one, so nobody changes it or a
 * message in it; what comes from a host and what goes to it is copied.
 */
export interface History {
  /** A fresh random value whenever the session's visible history moves. */
  readonly revision: string
  /** The pinned system or developer messages: first in every prompt, outside every limit. */
  readonly system: readonly HistoryMessage[]
  /** In prompt order: by exchange, then by turn. */
  readonly turns: readonly HistoryTurn[]
  /** Every visible turn whose exchange is this number or higher is here, whole; 0 when nothing older exists. */
  readonly from: number
  /**
   * How many of the newest visible messages were looked at: those of `turns` from `from` on, and where something older
   * exists, also those of the next older exchange, which is not here because it was too much. So a window of fewer
   * messages than this needs nothing older; with `from` 0 none does.
   */
  readonly reach: number
}

/** How many messages of history there are, the pinned ones not counted. */
export const countMessages = (turns: readonly HistoryTurn[]): number =>
  turns.reduce((sum, turn) => sum + turn.messages.length, 0)

/** A revision that no session ever has: for a history that is true for one turn alone and must not be taken from a cache. */
export const privateRevision = '00000000-0000-0000-0000-000000000000'
