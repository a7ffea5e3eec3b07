import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

import { expect } from 'chai'
import { Redis } from 'ioredis'
import { Client } from 'pg'

import { createTurnlog, type Turnlog, type TurnlogOptions } from '../../lib/index.js'
import { freshMigratedDatabase } from '../services/core.js'

const userId = 'ada'

describe('sweeping', () => {
  let database: Awaited<ReturnType<typeof freshMigratedDatabase>>
  let sql: Client
  let open: Turnlog[]

  beforeEach(async () => {
    database = await freshMigratedDatabase()
    sql = new Client({ connectionString: database.url })
    await sql.connect()
    open = []
  })
  afterEach(async () => {
    await Promise.all(open.map((turnlog) => turnlog.close({ drainMs: 0 })))
    await sql.end()
    await database.drop()
  })

  const aTurnlog = (options: TurnlogOptions = {}): Turnlog => {
    const turnlog = createTurnlog({
      database: database.url,
      retentionSeconds: 60,
      sweepIntervalSeconds: 0,
      ...options,
    })
    open.push(turnlog)
    return turnlog
  }

  const aSession = async (turnlog: Turnlog, word = 'word', ttlSeconds?: number): Promise<string> => {
    const given = { userId, metadata: { word }, ...(ttlSeconds !== undefined && { ttlSeconds }) }
    const { id } = await turnlog.sessions.create({ ...given, name: word })
    for (let turn = 0; turn < 3; turn++) {
      const begun = await turnlog.begin({
        userId,
        sessionId: id,
        question: `${word} ${turn}`,
        key: `${word}${turn}`,
      })
      await begun.complete([{ role: 'assistant', content: [{ type: 'text', text: word }] }])
    }
    return id
  }

  /** The database's clock decides: what happened is moved back. */
  const age = (id: string, seconds: number): Promise<unknown> =>
    sql.query(
      `update chat_sessions set updated_at = updated_at - $2 * interval '1 second',
        expires_at = expires_at - $2 * interval '1 second' where id = $1`,
      [id, seconds],
    )

  const left = async (): Promise<string[]> => {
    const { rows } = await sql.query<{ id: string }>(
      `select id from chat_sessions union select session_id from chat_turns union select session_id from chat_messages`,
    )
    return rows.map(({ id }) => id).toSorted()
  }

  it('purges the sessions that were deleted so long ago, and no others', async () => {
    const turnlog = aTurnlog()
    const [old, recent, live] = [await aSession(turnlog), await aSession(turnlog), await aSession(turnlog)]
    for (const id of [old, recent]) await turnlog.sessions.delete({ userId, id })
    await age(old, 61)
    await age(recent, 50)
    await age(live, 1000)
    expect(await turnlog.sweep()).to.deep.equal({ closedTurns: 0, purgedSessions: 1 })
    expect(await left()).to.deep.equal([recent, live].toSorted())
    expect(await turnlog.sweep()).to.deep.equal({ closedTurns: 0, purgedSessions: 0 })
  })

  it('purges the sessions that have expired so long ago, by the sliding expiry', async () => {
    const turnlog = aTurnlog()
    const [old, recent] = [await aSession(turnlog, 'a', 10), await aSession(turnlog, 'b', 10)]
    await age(old, 71)
    await age(recent, 65)
    expect((await turnlog.sweep())?.purgedSessions).to.equal(1)
    expect(await left()).to.deep.equal([recent])
  })

  it('looks at every session, however many there are', async () => {
    const turnlog = aTurnlog()
    await sql.query(
      `insert into chat_sessions (user_id, id, revision, is_active, updated_at)
        select 'u' || n % 7, 's' || n, gen_random_uuid(), n % 100 <> 0, now() - interval '1 day'
        from generate_series(1, 2500) n`,
    )
    expect((await turnlog.sweep())?.purgedSessions).to.equal(25)
    expect(await left()).to.have.length(2475)
  })

  it('purges nothing without a retention', async () => {
    const turnlog = createTurnlog({ database: database.url })
    open.push(turnlog)
    const id = await aSession(turnlog)
    await turnlog.sessions.delete({ userId, id })
    await age(id, 100_000_000)
    expect(await turnlog.sweep()).to.deep.equal({ closedTurns: 0, purgedSessions: 0 })
    expect(await left()).to.deep.equal([id])
  })

  it('closes what a dead process left open', async () => {
    const turnlog = aTurnlog()
    const id = await aSession(turnlog)
    const turn = await turnlog.begin({ userId, sessionId: id, question: 'unanswered' })
    await sql.query(`update chat_turns set lease_until = now() - interval '1 second' where status = 'open'`)
    expect(await aTurnlog().sweep()).to.deep.equal({ closedTurns: 1, purgedSessions: 0 })
    const found = await turnlog.turns.find({ userId, sessionId: id, turn: turn.number })
    expect(found?.status).to.equal('interrupted')
  })

  it('is done by one process at a time, and by the next one once a dead one’s lease has run out', async () => {
    await sql.query(
      `insert into chat_leases values ('sweep', gen_random_uuid(), now() + interval '1 minute')`,
    )
    expect(await aTurnlog().sweep()).to.equal(undefined)
    await sql.query(`update chat_leases set held_until = now()`)
    expect(await aTurnlog().sweep()).to.not.equal(undefined)
    expect((await sql.query('select 1 from chat_leases')).rowCount).to.equal(0)
  })

  it('purges each session once when many sweep', async () => {
    const turnlogs = Array.from({ length: 4 }, () => aTurnlog({ retentionSeconds: 0 }))
    for (let n = 0; n < 6; n++) {
      const id = await aSession(turnlogs[0]!)
      await turnlogs[0]!.sessions.delete({ userId, id })
    }
    const swept = await Promise.all(turnlogs.map((turnlog) => turnlog.sweep()))
    expect(swept.reduce((sum, one) => sum + (one?.purgedSessions ?? 0), 0)).to.equal(6)
    expect(await left()).to.deep.equal([])
  })

  it('goes on by itself where a retention is given, and ends with close', async () => {
    const turnlog = aTurnlog({ retentionSeconds: 0, sweepIntervalSeconds: 1 })
    const id = await aSession(turnlog)
    await turnlog.sessions.delete({ userId, id })
    while ((await left()).length > 0) await new Promise((resolve) => setTimeout(resolve, 50))
  })

  it('frees the id, and refuses an answer that comes too late', async () => {
    const turnlog = aTurnlog({ retentionSeconds: 0 })
    const id = await aSession(turnlog)
    const late = await turnlog.begin({ userId, sessionId: id, question: 'q' })
    await turnlog.sessions.delete({ userId, id })
    await turnlog.sweep()
    await turnlog.sessions.create({ userId, id })
    const begun = await turnlog.begin({ userId, sessionId: id, question: 'anew' })
    expect([begun.number, begun.history]).to.deep.equal([1, []])
    expect(await late.complete('late')).to.equal('refused')
    expect((await turnlog.messages.list({ userId, sessionId: id }))?.data).to.have.length(1)
  })

  it('leaves nothing in tables, indexes and Redis', async () => {
    const planted = 'xyzzyplanted'
    const turnlog = aTurnlog({ redis: process.env.TEST_REDIS_URL!, retentionSeconds: 0 })
    const id = await aSession(turnlog, planted)
    await aSession(turnlog, 'another')
    const found = async (): Promise<string[]> => [
      ...(await filesWith(sql, planted)),
      ...(await keysWith(planted)),
    ]
    const before = await found()
    expect(before).to.include.members(['chat_sessions', 'chat_turns', 'chat_turns_key', 'chat_messages'])
    expect(before.some((place) => place.startsWith('turnlog:'))).to.equal(true)
    await turnlog.sessions.delete({ userId, id })
    expect(await found()).to.include.members(before)
    await turnlog.sweep()
    expect(await found()).to.deep.equal([])
  })
})

/** Tables and indexes, as they lie on disk after a full vacuum, that hold the word. */
async function filesWith(sql: Client, word: string): Promise<string[]> {
  await sql.query('vacuum full')
  await sql.query('checkpoint')
  const { rows } = await sql.query<{ name: string; path: string }>(
    `select relname as name, current_setting('data_directory') || '/' || pg_relation_filepath(oid) as path
      from pg_class where relkind in ('r', 'i', 't') and pg_relation_filepath(oid) is not null`,
  )
  return rows
    .filter(({ path }) => partsOf(path).some((part) => readFileSync(part).includes(word)))
    .map(({ name }) => name)
}

/** A large relation lies in several files. */
const partsOf = (path: string): string[] =>
  readdirSync(dirname(path))
    .filter((name) => name === basename(path) || name.startsWith(`${basename(path)}.`))
    .map((name) => join(dirname(path), name))

/** The keys whose value or name holds the word; ours are strings, and other tests' keys of other types hold nothing of ours. */
async function keysWith(word: string): Promise<string[]> {
  const client = new Redis(process.env.TEST_REDIS_URL!)
  try {
    const keys = await client.keys('*')
    const types = await Promise.all(keys.map((key) => client.type(key)))
    const strings = keys.filter((_, index) => types[index] === 'string')
    const values = await Promise.all(strings.map((key) => client.getBuffer(key)))
    return [
      ...keys.filter((key) => key.includes(word)),
      ...strings.filter((_, index) => values[index]?.includes(word)),
    ]
  } finally {
    client.disconnect()
  }
}
