import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'

import { expect } from 'chai'
import createKnex, { type Knex } from 'knex'

import { createTurnlog, type Message, type Turnlog } from '../../lib/index.js'
import { freshMigratedDatabase } from '../services/core.js'

const production = readFileSync(path.resolve(import.meta.dirname, '../../docs/production.md'), 'utf8')

/** The statements that the document tells an administrator to run. */
const documented = /```sql\n([\s\S]*?)```/.exec(production)![1]!

describe('the server’s own role, with what docs/production.md grants', () => {
  const role = `app_${randomBytes(6).toString('hex')}`
  const userId = 'ann'
  let database: { url: string; drop(): Promise<void> }
  let admin: Knex
  let turnlog: Turnlog
  before(async () => {
    database = await freshMigratedDatabase()
    admin = createKnex({ client: 'pg', connection: database.url, pool: { min: 0, max: 1 } })
    await admin.raw(
      `create role ${role} login password 'secret'; ${documented.replaceAll('to app', `to ${role}`)}`,
    )
    const url = new URL(database.url)
    url.username = role
    url.password = 'secret'
    turnlog = createTurnlog({ database: url.href, retentionSeconds: 0, sweepIntervalSeconds: 0 })
  })
  after(async () => {
    await turnlog.close({ drainMs: 0 })
    await admin.raw(`drop owned by ${role}; drop role ${role}`)
    await admin.destroy()
    await database.drop()
  })

  it('may not change a table', async () => {
    await admin.raw(`set role ${role}`)
    const refused = await admin
      .raw('alter table chat_turns add column mine int')
      .catch((error: Error) => error)
    await admin.raw('reset role')
    expect((refused as Error).message).to.contain('must be owner')
  })

  it('begins and ends turns, changes history and imports', async () => {
    await turnlog.ready()
    const { id: sessionId } = await turnlog.sessions.create({ userId, name: 'imported' })
    const messages: Message[] = [
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'two' },
    ]
    await turnlog.messages.append({ userId, sessionId, messages })
    const turn = await turnlog.begin({ userId, sessionId, question: 'three' })
    expect(turn.messages.map(({ content }) => content)).to.deep.equal(['one', 'two', 'three'])
    expect(await turn.complete('four')).to.equal('stored')
    const fork = await turnlog.sessions.fork({ userId, id: sessionId })
    expect(fork).to.not.equal(undefined)
    await turnlog.sessions.clear({ userId, id: sessionId })
    expect(await turnlog.sessions.delete({ userId, id: sessionId })).to.equal(true)
  })

  it('sweeps', async () => {
    expect((await turnlog.sweep())!.purgedSessions).to.equal(1)
  })
})
