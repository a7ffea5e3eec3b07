import { privateRevision, type History, type HistoryTurn } from '../model/history.js'
import type { HistoryMessage } from '../model/message.js'
import type { Begun } from '../store/store.js'

// The history as one turn is to see it.

export const noHistory: History = { revision: '', system: [], turns: [], from: 0, reach: 0 }

/** The history with the pinned messages that a request brings, if it brings any. */
export const pinnedBy = (history: History, system: readonly HistoryMessage[]): History =>
  system.length === 0
    ? history
    : {
        ...history,
        system: [...system, ...history.system.filter(({ summarizes }) => summarizes !== undefined)],
      }

/** The history before an exchange. */
export const withoutFrom = (history: History, exchange = Infinity): History => ({
  ...history,
  turns: history.turns.filter((turn) => turn.exchange < exchange),
})

/** A begin that had to be repeated, and a turn that waited for its place, may read what was asked after them. */
export function onlyBefore(turn: number, history: History): History {
  const isBefore = (other: HistoryTurn): boolean => other.turn < turn
  return history.turns.every(isBefore) ? history : { ...history, turns: history.turns.filter(isBefore) }
}

/** A history that was read while nothing was replaced yet, as the replacing turn is to see it. */
export function withoutReplaced(history: History, { replaces, exchange }: Begun): History {
  if (replaces === undefined) return history
  const replaced = history.turns.find(({ turn }) => turn === replaces)
  if (!replaced) return { ...history, revision: privateRevision }
  const isOut = replaced.exchange === exchange ? [replaced] : history.turns.filter(sameExchange(replaced))
  return {
    ...history,
    revision: privateRevision,
    turns: history.turns.filter((turn) => !isOut.includes(turn)),
  }
}

const sameExchange = (one: HistoryTurn) => (other: HistoryTurn) => one.exchange === other.exchange
