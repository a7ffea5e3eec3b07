import type { History } from '../model/history.js'
import type { HistoryMessage, Message } from '../model/message.js'
import type { Format } from '../wire/format.js'

/** A history in one format, and what was lost of each message that was put into it. */
export interface AdoptedHistory {
  readonly history: History
  readonly adopted: ReadonlyMap<Message, readonly string[]>
}

/** A session may have been begun in another format: the history as this one says it. Stored rows and cache entries stay as they are. */
export function adoptHistory(history: History, { adopt }: Pick<Format, 'adopt'>): AdoptedHistory {
  const adopted = new Map<Message, readonly string[]>()
  const isForeign = ({ message }: HistoryMessage): boolean => adopt(message) !== undefined
  if (!history.system.some(isForeign) && !history.turns.some(({ messages }) => messages.some(isForeign)))
    return { history, adopted }
  const own = (messages: readonly HistoryMessage[]): readonly HistoryMessage[] =>
    messages.flatMap((held) => adoptOne(held, adopt, adopted))
  const system = own(history.system)
  const turns = history.turns.map((turn) => ({ ...turn, messages: own(turn.messages) }))
  return { history: { ...history, system, turns }, adopted }
}

function adoptOne(
  held: HistoryMessage,
  adopt: Format['adopt'],
  adopted: Map<Message, readonly string[]>,
): HistoryMessage[] {
  const put = adopt(held.message)
  if (!put) return [held]
  for (const message of put.messages) adopted.set(message, put.lost)
  // The count of one is not that of its parts: they are estimated.
  const { tokens, ...uncounted } = held
  const counted = put.messages.length === 1 && tokens !== undefined ? held : uncounted
  return put.messages.map((message) => Object.assign({}, counted, { message }))
}

/** What was done to the messages that are sent, for the receipt. */
export function adoptions(
  sent: readonly Message[],
  adopted: ReadonlyMap<Message, readonly string[]>,
  format: string,
): string[] {
  const changed = sent.filter((message) => adopted.has(message))
  if (changed.length === 0) return []
  const lost = new Set(changed.flatMap((message) => adopted.get(message) ?? []))
  const what = changed.length === 1 ? '1 message' : `${changed.length} messages`
  return [
    `put ${what} of another format into ${format}`,
    ...(lost.size > 0 ? [`left out what ${format} has no place for: ${[...lost].join(', ')}`] : []),
  ]
}
