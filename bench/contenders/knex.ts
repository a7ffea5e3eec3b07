import createKnex from 'knex'

import { text } from '../places.js'
import { withClient } from '../stage.js'
import { windowMessages, type Contender } from './contender.js'

const tables = `
  create table sessions (
    id text primary key, user_id text not null, message_count integer not null, updated_at timestamptz not null default now());
  create table messages (
    id bigserial primary key, session_id text not null references sessions (id), role text not null, content text not null,
    created_at timestamptz not null default now());
  create index messages_session on messages (session_id, id);`

/**
 * What one writes in an afternoon: five statements by Knex's query builder, each its own commit, with the index that
 * it needs. Five round trips; a crash between them leaves a question without its count.
 */
export async function knexContender(database: string): Promise<Contender> {
  await withClient(database, (client) => client.query(tables))
  const knex = createKnex({ client: 'pg', connection: database, pool: { min: 0, max: 10 } })
  return {
    name: 'Knex by hand',
    isOurs: false,
    load: ({ messages, sessions }) =>
      withClient(database, async (client) => {
        await client.query(`insert into sessions (id, user_id, message_count)
          select 'session-${messages}-' || s, 'user-${messages}-' || s, ${messages} from generate_series(0, ${sessions - 1}) s`)
        await client.query(
          `insert into messages (session_id, role, content)
          select 'session-${messages}-' || s, case m % 2 when 0 then 'user' else 'assistant' end, $1
          from generate_series(0, ${sessions - 1}) s, generate_series(0, ${messages - 1}) m`,
          [text],
        )
        await client.query('vacuum analyze')
      }),
    turn: async ({ userId, sessionId }) => {
      const session = (await knex('sessions').where({ id: sessionId, user_id: userId }).first()) as object
      const newest = (await knex('messages')
        .where({ session_id: sessionId })
        .orderBy('id', 'desc')
        .limit(windowMessages)) as object[]
      if (!session || newest.reverse().length !== windowMessages)
        throw new Error('Knex sent no whole window.')
      await knex('messages').insert({ session_id: sessionId, role: 'user', content: text })
      await knex('messages').insert({ session_id: sessionId, role: 'assistant', content: text })
      await knex('sessions')
        .where({ id: sessionId })
        .update({ message_count: knex.raw('message_count + 2'), updated_at: knex.fn.now() })
    },
    close: () => knex.destroy(),
  }
}
