import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import createKnex, { type Knex } from 'knex'

import { createTurnlog, HistoryUnavailable, type Turnlog } from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { startProxy, type Proxy } from '../services/proxy.js'
import { chunk, doneEvent, jsonAnswer } from './answers.js'
import type { HostSetup, RunningHost } from './framework.js'
import { frameworks } from './frameworks.js'

const headers = { 'x-user': 'ann', 'content-type': 'application/json' }
const mostStreams = 200

describe('closing', function () {
  this.timeout(60_000)
  let core: FreshCore
  let admin: Knex
  let proxy: Proxy
  let host: RunningHost | undefined
  before(async () => {
    core = await freshCore()
    admin = createKnex({ client: 'pg', connection: core.url, pool: { min: 0, max: 1 } })
    proxy = await startProxy(core.url)
  })
  afterEach(async () => {
    proxy.swallow(false)
    await host?.stop()
    host = undefined
  })
  after(async () => {
    await proxy.stop()
    await admin.destroy()
    await core.end()
  })

  const start = async (turnlog: Turnlog, handler: NonNullable<HostSetup['handler']>): Promise<void> => {
    host = await frameworks[0]!.start({ turnlog, provider: () => jsonAnswer(''), handler })
  }
  const newSession = async (): Promise<string> => (await core.turnlog.sessions.create({ userId: 'ann' })).id
  const ask = (session: string): Promise<Response> =>
    fetch(`${host!.url}/v1/chat/completions`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ session_id: session, model: 'm', messages: [{ role: 'user', content: 'q' }] }),
    })
  /** How many turns of these sessions there are, by status and by what was said. */
  const states = async (sessions: readonly string[]): Promise<Record<string, number>> => {
    const rows = (await admin('chat_turns as t')
      .leftJoin('chat_messages as m', function () {
        this.on('m.session_id', 't.session_id').andOn('m.turn', 't.turn').andOnVal('m.role', 'assistant')
      })
      .whereIn('t.session_id', [...sessions])
      .select('t.status', 'm.content')) as { status: string; content: string | null }[]
    const counts: Record<string, number> = {}
    for (const { status, content } of rows) {
      const state = `${status}: ${content}`
      counts[state] = (counts[state] ?? 0) + 1
    }
    return counts
  }

  it(`keeps what ${mostStreams} open streams have said, lets the others finish, and begins nothing more`, async () => {
    const turnlog = createTurnlog({ database: core.url })
    const sessions = await Promise.all(Array.from({ length: mostStreams }, newSession))
    const quick = new Set(sessions.slice(0, 20))
    const streaming = new Set<string>()
    let closing = (): void => undefined
    const closed = new Promise<void>((resolve) => (closing = resolve))
    await start(turnlog, async (_body, res, turn) => {
      res.setHeader('content-type', 'text/event-stream')
      res.write(chunk({ role: 'assistant', content: 'so far' }))
      streaming.add(turn!.sessionId)
      if (quick.has(turn!.sessionId)) await closed
      else await once(turn!.signal, 'abort')
      res.end(chunk({}, 'stop') + doneEvent)
    })
    const answers = sessions.map(async (session) => (await ask(session)).text())
    while (streaming.size < sessions.length) await sleep(20)
    const closes = turnlog.close({ drainMs: 4_000 })
    closing()
    const refused = await ask(sessions[0]!)
    expect([refused.status, refused.headers.get('retry-after')]).to.deep.equal([503, '1'])
    await refused.text()
    await closes
    expect(await states(sessions)).to.deep.equal({ 'done: so far': 20, 'interrupted: so far': 180 })
    await Promise.all(answers)
    const late = await turnlog
      .begin({ userId: 'ann', sessionId: sessions[0]!, question: 'late' })
      .catch(String)
    expect(late).to.contain(HistoryUnavailable.name)
    await turnlog.close()
  })

  it('stores what begins at that very moment, or refuses it', async () => {
    const turnlog = createTurnlog({ database: core.url })
    const sessions = await Promise.all(Array.from({ length: 20 }, newSession))
    const begins = sessions.map((sessionId) =>
      turnlog.begin({ userId: 'ann', sessionId, question: 'q' }).catch((error: unknown) => error),
    )
    // The calls are on their way to the database.
    await sleep(5)
    await turnlog.close({ drainMs: 0 })
    await Promise.all(begins)
    expect(Object.keys(await states(sessions)).filter((state) => state.startsWith('open'))).to.deep.equal([])
  })

  it('comes to its end when the store answers no more, and tells what it could not keep', async () => {
    const told: (number | undefined)[] = []
    const turnlog = createTurnlog({
      database: proxy.url,
      onFault: (_error, { turn }) => told.push(turn),
    })
    const sessions = await Promise.all(Array.from({ length: 3 }, newSession))
    const [deferred, running] = await Promise.all(
      sessions.map((sessionId) => turnlog.begin({ userId: 'ann', sessionId, question: 'q' })),
    )
    proxy.swallow(true)
    expect(await deferred!.complete('paid for')).to.equal('deferred')
    await turnlog.close({ drainMs: 0 })
    expect(running!.status).to.equal('interrupted')
    expect(running!.signal.reason).to.include({ code: 'closing', status: 503 })
    expect(told).to.include(1)
  })

  it('leaves no connection of its own open', async () => {
    const name = `turnlog_${Date.now()}`
    const turnlog = createTurnlog({ database: `${core.url}?application_name=${name}` })
    const connections = async (): Promise<number> =>
      (await admin('pg_stat_activity').where({ application_name: name })).length
    const turn = await turnlog.begin({ userId: 'ann', sessionId: await newSession(), question: 'q' })
    expect(await connections()).to.be.greaterThan(0)
    await turn.complete('a')
    await turnlog.close()
    while ((await connections()) > 0) await sleep(20)
  })
})
