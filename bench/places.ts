import type { Client } from 'pg'

/** A session and whose it is. */
export interface Place {
  readonly userId: string
  readonly sessionId: string
}

/** Sessions of one length. */
export interface Depth {
  readonly messages: number
  readonly sessions: number
}

/** About as long as a chat's message is: 320 bytes. */
export const text = 'The quick brown fox jumps over the lazy dog, again. '.repeat(7).slice(0, 320)

export const placesOf = ({ messages, sessions }: Depth): readonly Place[] =>
  Array.from({ length: sessions }, (_, n) => ({
    userId: `user-${messages}-${n}`,
    sessionId: `session-${messages}-${n}`,
  }))

/** Sessions of so many messages in our tables, each of its own user, as if they had been asked one turn after another. */
export async function loadOurs(client: Client, { messages, sessions }: Depth): Promise<void> {
  const turns = messages / 2
  const session = `'user-${messages}-' || s, 'session-${messages}-' || s`
  await client.query(`
    insert into chat_sessions (user_id, id, message_count, turn_count, revision, last_message_at)
    select ${session}, ${messages}, ${turns}, gen_random_uuid(), now() from generate_series(0, ${sessions - 1}) s`)
  await client.query(`
    insert into chat_turns (user_id, session_id, turn, exchange, key, nonce, status, format, parts, closed_at)
    select ${session}, t, t, 'n:' || t, md5(s || ':' || t)::uuid, 'done', 'openai', 1, now()
    from generate_series(0, ${sessions - 1}) s, generate_series(1, ${turns}) t`)
  await client.query(
    `insert into chat_messages (user_id, session_id, exchange, turn, part, role, content)
    select ${session}, t, t, p, case p when 0 then 'user' else 'assistant' end, $1
    from generate_series(0, ${sessions - 1}) s, generate_series(1, ${turns}) t, generate_series(0, 1) p`,
    [text],
  )
}
