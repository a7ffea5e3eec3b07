import { Client } from 'pg'

import { grouped, type Said, type SessionState, type StoredTurn } from './record.js'

interface SessionRow {
  readonly id: string
  readonly max: number
  readonly turns: number
  readonly messages: number
  readonly cleared: number
  readonly active: boolean
}

/** Every session as a database holds it, read past the package. */
export async function readStates(url: string): Promise<Map<string, SessionState>> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const sessions = await client.query<SessionRow>(
      `select id, max_history_messages max, turn_count turns, message_count messages,
        cleared_at_turn cleared, is_active active from chat_sessions`,
    )
    const turns = await client.query<{ session: string; turn: number; status: StoredTurn['status'] }>(
      'select session_id as session, turn, status from chat_turns order by session_id, exchange, turn',
    )
    const messages = await client.query<{ session: string; turn: number; role: string; content: string }>(
      'select session_id as session, turn, role, content from chat_messages order by session_id, exchange, turn, part',
    )
    const said = grouped(messages.rows, placeOf)
    const held = grouped(turns.rows, ({ session }) => session)
    return new Map(
      sessions.rows.map((row) => [
        row.id,
        {
          limit: row.max,
          turnCount: row.turns,
          messageCount: row.messages,
          clearedAt: row.cleared,
          isActive: row.active,
          turns: (held.get(row.id) ?? []).map((turn) =>
            storedTurn(turn.turn, turn.status, said.get(placeOf(turn)) ?? []),
          ),
        },
      ]),
    )
  } finally {
    await client.end()
  }
}

const placeOf = ({ session, turn }: { session: string; turn: number }): string => `${session} ${turn}`

function storedTurn(
  turn: number,
  status: StoredTurn['status'],
  messages: readonly { role: string; content: string }[],
): StoredTurn {
  const said = messages.map(({ role, content }): Said => [role, content])
  return {
    turn,
    status,
    question: said.filter(([role]) => role !== 'assistant'),
    answer: said.filter(([role]) => role === 'assistant'),
  }
}
