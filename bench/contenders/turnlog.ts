import createKnex from 'knex'

import { createTurnlog, type TurnlogOptions } from 'turnlog'
import { migrate } from 'turnlog/migrations'

import { loadOurs, text, type Depth } from '../places.js'
import { withClient } from '../stage.js'
import { windowMessages, type Contender } from './contender.js'

/** A database with our tables. */
export async function migrated(url: string): Promise<string> {
  const knex = createKnex({ client: 'pg', connection: url, pool: { min: 0, max: 1 } })
  await migrate(knex, {})
  await knex.destroy()
  return url
}

export async function loadSessions(url: string, depth: Depth): Promise<void> {
  await withClient(url, async (client) => {
    await loadOurs(client, depth)
    await client.query('vacuum analyze')
  })
}

/** Turnlog as a host uses it. */
export async function turnlogContender(
  name: string,
  database: string,
  options: TurnlogOptions,
): Promise<Contender> {
  const turnlog = createTurnlog({ ...options, database: await migrated(database) })
  return {
    name,
    isOurs: true,
    load: (depth) => loadSessions(database, depth),
    turn: async ({ userId, sessionId }) => {
      const turn = await turnlog.begin({ userId, sessionId, question: text })
      if (turn.messages.length !== windowMessages + 1) throw new Error(`${name} sent no whole window.`)
      const stored = await turn.complete(text)
      if (stored !== 'stored') throw new Error(`${name}: the answer was ${stored}.`)
    },
    close: () => turnlog.close(),
  }
}
