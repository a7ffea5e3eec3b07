import type { History, HistoryTurn } from '../model/history.js'
import { summaryMessage, type HistoryMessage, type Message } from '../model/message.js'

/** A message as the stored function sends it: exchange, turn, status, role, content, message, tokens. */
export type Row = readonly [
  number,
  number,
  'done' | 'interrupted',
  string,
  string | null,
  string | null,
  number | null,
]

interface Read {
  readonly system: readonly Row[] | null
  readonly summary: readonly [text: string, to: number, tokens: number | null] | null
  readonly rows: readonly Row[] | null
  readonly joined: readonly Row[] | null
}

/** A message from its columns: its own JSON where it has some, else role and content, which say it all. */
export const historyMessageOf = (
  role: string,
  content: string | null,
  message: string | null,
  tokens: number | null,
): HistoryMessage => ({
  message: message === null ? { role, content } : (JSON.parse(message) as Message),
  ...(tokens === null ? {} : { tokens }),
})

const messageOf = ([, , , ...columns]: Row): HistoryMessage => historyMessageOf(...columns)

function summaryOf({ summary }: Read): HistoryMessage[] {
  if (!summary) return []
  const [text, to, tokens] = summary
  return [{ message: summaryMessage(text, to), summarizes: to, ...(tokens === null ? {} : { tokens }) }]
}

/** Rows in prompt order as turns. */
export function turnsOf(rows: readonly Row[]): HistoryTurn[] {
  const turns: (HistoryTurn & { messages: HistoryMessage[] })[] = []
  for (const row of rows) {
    const [exchange, turn, status] = row
    const last = turns.at(-1)
    if (last !== undefined && last.exchange === exchange && last.turn === turn)
      last.messages.push(messageOf(row))
    else turns.push({ exchange, turn, status, messages: [messageOf(row)] })
  }
  return turns
}

/**
 * The history from what the stored function read: the rows come newest first, and one more than the limit means
 * that the oldest exchange among them may be cut, so it is left out. The joined exchange is there in any case.
 */
export function assembleHistory(text: string, revision: string, limit: number): History {
  const read = JSON.parse(text) as Read
  const rows = read.rows ?? []
  const cut = rows.length > limit ? rows.at(-1)![0] : 0
  const whole = rows.filter(([exchange]) => exchange > cut).reverse()
  const from = cut === 0 ? 0 : (whole[0]?.[0] ?? cut + 1)
  const joined = [...(read.joined ?? [])].reverse().filter(([exchange]) => exchange < from)
  return {
    revision,
    system: [...(read.system ?? []).map(messageOf), ...summaryOf(read)],
    turns: turnsOf([...joined, ...whole]),
    from,
    reach: rows.length,
  }
}
