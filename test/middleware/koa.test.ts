import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import { bodyParser } from '@koa/bodyparser'
import { expect } from 'chai'
import Koa, { type Context, type Middleware } from 'koa'
import mount from 'koa-mount'
import Koa2 from 'koa2'

import { chatHistory, remember } from '../../middleware/koa.js'
import { serverOf } from '../koa-server.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { chunk, doneEvent, jsonAnswer, streamAnswer } from './answers.js'
import { listen, type RunningHost } from './framework.js'
import { rawPost } from './raw.js'

const versions: readonly [string, typeof Koa][] = [
  ['Koa 3', Koa],
  ['Koa 2', Koa2 as unknown as typeof Koa],
]

for (const [name, Application] of versions) {
  describe(`${name}: what ctx.body may become`, () => bodies(Application))
}

function bodies(Application: typeof Koa): void {
  let core: FreshCore
  let host: RunningHost | undefined
  let errors: unknown[] = []
  let session = ''
  before(async () => {
    core = await freshCore()
  })
  beforeEach(async () => {
    session = (await core.turnlog.sessions.create({ userId: 'ann' })).id
  })
  afterEach(async () => {
    await host?.stop()
    host = undefined
  })
  after(() => core.end())

  const start = (handler: Middleware, ...outside: Middleware[]): Promise<string> =>
    startBare(handler, ...outside, bodyParser(), remember(core.turnlog, { userId: () => 'ann' }))
  const startBare = async (handler: Middleware, ...before: Middleware[]): Promise<string> => {
    const app = new Application()
    errors = []
    app.on('error', (error) => errors.push(error))
    for (const middleware of before) app.use(middleware)
    app.use(handler)
    await host?.stop()
    host = await listen(serverOf(app))
    return host.url
  }
  const question = (more: object = {}): string =>
    JSON.stringify({ session_id: session, messages: [{ role: 'user', content: 'hi' }], ...more })
  const ask = (url: string): Promise<Response> =>
    fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: question() })
  const said = async (): Promise<string[]> => {
    const page = await core.turnlog.messages.list({ userId: 'ann', sessionId: session })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }
  const closed = async (): Promise<string[]> => {
    while ((await said()).some((line) => line.startsWith('open'))) await sleep(10)
    return said()
  }

  it('ends the turn as interrupted when the client leaves a stream, and its source with it', async () => {
    const source = new PassThrough()
    const url = await start((ctx) => {
      ctx.type = 'text/event-stream'
      ctx.body = source
      source.write(chunk({ role: 'assistant', content: 'Once upon' }))
    })
    const exchange = rawPost(url, '/', {}, question())
    await exchange.until('Once upon')
    exchange.socket.destroy()
    await once(source, 'close')
    expect(await closed()).to.deep.equal(['interrupted user: hi', 'interrupted assistant: Once upon'])
  })

  it('cuts the client off when the source dies, keeps what was said and tells Koa what it would be told', async () => {
    const fault = new Error('the provider hung up')
    const dying =
      (source: PassThrough): Middleware =>
      (ctx) => {
        ctx.type = 'text/event-stream'
        ctx.body = source
        source.write(chunk({ role: 'assistant', content: 'Once upon' }))
      }
    const errorsOf = async (source: PassThrough, url: string): Promise<unknown[]> => {
      const exchange = rawPost(url, '/', {}, question())
      await exchange.until('Once upon')
      const gone = new Promise((resolve) => source.once('error', () => undefined).once('close', resolve))
      source.destroy(fault)
      await gone
      // Koa 2 alone leaves its client waiting. On newer Nodes Koa 3 tells of the fault twice, the second time behind the end.
      if (source === remembered || Application === Koa) await exchange.ended
      exchange.socket.destroy()
      return errors
    }
    const remembered = new PassThrough()
    const told = await errorsOf(remembered, await start(dying(remembered)))
    expect(await closed()).to.deep.equal(['interrupted user: hi', 'interrupted assistant: Once upon'])
    const alone = new PassThrough()
    expect(told).to.deep.equal(await errorsOf(alone, await startBare(dying(alone))))
    expect(told).to.include(fault)
  })

  it('lets Koa and what is mounted outside see what the handler throws, and fails the turn', async () => {
    const seen: unknown[] = []
    const url = await start(
      (ctx) => ctx.throw(418, 'no coffee'),
      async (_ctx, next) => {
        try {
          await next()
        } catch (error) {
          seen.push(error)
          throw error
        }
      },
    )
    const response = await ask(url)
    expect([response.status, await response.text()]).to.deep.equal([418, 'no coffee'])
    expect(seen).to.have.nested.property('[0].status', 418)
    expect(await said()).to.deep.equal(['failed user: hi'])
  })

  const empty: [string, Middleware, number][] = [
    ['nothing', () => undefined, 404],
    ['null', (ctx) => void (ctx.body = null), 204],
    ['a 204', (ctx) => void (ctx.status = 204), 204],
    ['a 304', (ctx) => void (ctx.status = 304), 304],
    ['a status alone', (ctx) => void (ctx.status = 200), 200],
    ['a redirect', (ctx) => ctx.redirect('/elsewhere'), 302],
  ]
  for (const [what, handler, status] of empty) {
    it(`takes ${what} for no answer`, async () => {
      const url = await start(handler)
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: question(),
        redirect: 'manual',
      })
      expect(response.status).to.equal(status)
      expect(await said()).to.deep.equal(['failed user: hi'])
    })
  }

  it('leaves an object an object for what is mounted outside', async () => {
    let kind = ''
    const url = await start(
      (ctx) => void (ctx.body = JSON.parse(jsonAnswer('yes').text)),
      async (ctx, next) => {
        await next()
        kind = ctx.body?.constructor.name as string
        ctx.body = { wrapped: ctx.body as unknown }
      },
    )
    expect(await (await ask(url)).json()).to.have.nested.property('wrapped.choices[0].message.content', 'yes')
    expect(kind).to.equal('Object')
    expect(await said()).to.deep.equal(['done user: hi', 'done assistant: yes'])
  })

  it('keeps the length that a stream was given', async () => {
    const { text } = jsonAnswer('counted')
    const url = await start((ctx) => {
      ctx.type = 'json'
      ctx.body = new PassThrough().end(text)
      ctx.length = Buffer.byteLength(text)
    })
    const response = await ask(url)
    expect(response.headers.get('content-length')).to.equal(String(Buffer.byteLength(text)))
    expect(await response.text()).to.equal(text)
  })

  it("holds a stream's last word until its turn is stored", async () => {
    const source = new PassThrough()
    const url = await start((ctx) => {
      ctx.type = 'text/event-stream'
      ctx.body = source
      source.write(streamAnswer('all').text)
    })
    const exchange = rawPost(url, '/', {}, question())
    await exchange.until(doneEvent)
    expect(await said()).to.deep.equal(['done user: hi', 'done assistant: all'])
    source.end()
    await exchange.ended
  })

  it('keeps the async context of the host through begin', async () => {
    const context = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const url = await start(
      async (ctx: Context) => {
        seen.push(context.getStore())
        ctx.type = 'text/event-stream'
        ctx.body = new PassThrough().end(streamAnswer('a').text)
      },
      (_ctx, next) => context.run('request 1', next),
    )
    await (await ask(url)).text()
    expect(seen).to.deep.equal(['request 1'])
  })

  it('stands at the default paths, also in an application below koa-mount', async () => {
    const userId = (): string => 'ann'
    const inner = new Application()
    inner.use(bodyParser())
    inner.use(chatHistory(core.turnlog, { userId }))
    inner.use((ctx) => void (ctx.body = JSON.parse(jsonAnswer('here').text)))
    host = await listen(serverOf(new Application().use(mount('/api', inner))))
    const headers = { 'content-type': 'application/json' }
    const url = `${host.url}/api/v1/chat/completions`
    const response = await fetch(url, { method: 'POST', headers, body: question() })
    expect(response.headers.get('x-turn-id')).to.equal('1')
    const listed = await fetch(`${host.url}/api/chat/sessions/${session}/messages`)
    expect(await listed.json()).to.have.nested.property('data[1].content', 'here')
    const other = await fetch(`${host.url}/api/elsewhere`)
    expect(await other.json()).to.have.nested.property('choices[0].message.content', 'here')
  })
}
