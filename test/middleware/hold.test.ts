import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import express, { type Response } from 'express'
import { Client } from 'pg'

import { remember } from '../../middleware/express.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { chunk, doneEvent, jsonAnswer } from './answers.js'
import { rawPost, type RawExchange } from './raw.js'

/** Promise 1: what the client saw the end of is committed. Another connection holds the session's row, so nothing can be. */
describe('the end of an answer', () => {
  let core: FreshCore
  let holder: Client
  let stop: (() => Promise<void>) | undefined
  before(async () => {
    core = await freshCore()
    holder = new Client({ connectionString: core.url })
    await holder.connect()
  })
  after(async () => {
    await holder.end()
    await core.end()
  })
  afterEach(async () => {
    await stop?.()
    stop = undefined
  })

  async function ask(answer: (res: Response) => void | Promise<void>): Promise<[string, RawExchange]> {
    const app = express()
    app.use(express.json())
    app.post('/v1', remember(core.turnlog, { userId: () => 'ann' }), async (_req, res) => {
      await holder.query('begin')
      await holder.query('select 1 from chat_sessions for update')
      await answer(res)
    })
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    stop = async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
    const { id } = await core.turnlog.sessions.create({ userId: 'ann' })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const body = JSON.stringify({ session_id: id, messages: [{ role: 'user', content: 'hi' }] })
    return [id, rawPost(url, '/v1', {}, body)]
  }

  const committed = async (id: string): Promise<string> => {
    const { rows } = await holder.query<{ status: string }>(
      'select status from chat_turns where session_id = $1',
      [id],
    )
    return rows[0]!.status
  }

  const stream = (res: Response): void => {
    res.setHeader('content-type', 'text/event-stream')
    res.write(chunk({ role: 'assistant', content: 'Hello' }))
    res.write(chunk({}, 'stop') + doneEvent.slice(0, 9))
    res.write(doneEvent.slice(9))
    res.end()
  }

  it('of a stream, its terminal event, waits for the commit', async () => {
    const [id, exchange] = await ask(stream)
    await exchange.until('"stop"')
    await sleep(300)
    expect(exchange.received()).to.not.contain('data: [')
    expect(await committed(id)).to.equal('open')
    await holder.query('commit')
    expect(await exchange.until(doneEvent)).to.not.contain('turnlog')
    expect(await committed(id)).to.equal('done')
    await exchange.ended
  })

  it('of a stream that cannot be committed in time comes after a comment that says so', async () => {
    const [id, exchange] = await ask(stream)
    const received = await exchange.until(doneEvent)
    await holder.query('rollback')
    expect(received).to.contain(`: turnlog: answer deferred, not stored\n${doneEvent}`)
    while ((await committed(id)) === 'open') await sleep(20)
    expect(await committed(id)).to.equal('done')
    await exchange.ended
  })

  it('of a stream that failed has no answer to tell of: no byte is put inside its last event', async () => {
    const refusal = 'data: {"error":{"message":"overloaded"}}'
    const [id, exchange] = await ask((res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream', connection: 'close' })
      res.write(refusal)
      res.end()
    })
    const received = await exchange.ended
    await holder.query('rollback')
    expect(received).to.not.contain('turnlog')
    while ((await committed(id)) === 'open') await sleep(20)
    expect(await committed(id)).to.equal('failed')
  })

  it('of a counted body, its last byte, waits for the commit', async () => {
    const { text, type } = jsonAnswer('counted')
    const [id, exchange] = await ask((res) => {
      res.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
      res.write(text)
    })
    await exchange.until(text.slice(0, -1))
    await sleep(300)
    expect(exchange.received().endsWith(text.slice(0, -1))).to.equal(true)
    expect(await committed(id)).to.equal('open')
    await holder.query('commit')
    await exchange.until(text)
    expect(await committed(id)).to.equal('done')
  })

  it('of res.json is the whole answer, and its header says that it is stored', async () => {
    const { text } = jsonAnswer('whole')
    const [id, exchange] = await ask((res) => void res.json(JSON.parse(text)))
    await sleep(300)
    expect(exchange.received()).to.equal('')
    await holder.query('commit')
    expect(await exchange.ended).to.contain('X-History-Stored: true')
    expect(await committed(id)).to.equal('done')
  })

  it('of res.json that cannot be committed in time says that it is deferred', async () => {
    const { text } = jsonAnswer('late')
    const [id, exchange] = await ask((res) => void res.json(JSON.parse(text)))
    const received = await exchange.until(text)
    await holder.query('rollback')
    expect(received).to.contain('X-History-Stored: deferred')
    while ((await committed(id)) === 'open') await sleep(20)
    expect(await committed(id)).to.equal('done')
  })
})
