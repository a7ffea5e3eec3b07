import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer } from 'node:http'
import { PassThrough } from 'node:stream'

import { bodyParser } from '@koa/bodyparser'
import koaCors from '@koa/cors'
import { expect } from 'chai'
import compression from 'compression'
import cors from 'cors'
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express'
import { rateLimit } from 'express-rate-limit'
import session from 'express-session'
import express4 from 'express4'
import helmet from 'helmet'
import Koa, { type Context, type Middleware } from 'koa'
import compress from 'koa-compress'
import koaSession from 'koa-session'
import Koa2 from 'koa2'
import morgan from 'morgan'
import passport from 'passport'
import { pino } from 'pino'
import { pinoHttp } from 'pino-http'

import type { TurnlogError } from '../../lib/index.js'
import * as overExpress from '../../middleware/express.js'
import * as overKoa from '../../middleware/koa.js'
import { serverOf } from '../koa-server.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { streamAnswer } from './answers.js'
import { listen, type RunningHost } from './framework.js'

const answer = streamAnswer('in ', 'order').text
const versionsOfExpress = { 'Express 5': express, 'Express 4': express4 as unknown as typeof express }
const versionsOfKoa = { 'Koa 3': Koa, 'Koa 2': Koa2 as unknown as typeof Koa }
const context = new AsyncLocalStorage<string>()

describe('among the middleware of real servers', () => {
  let core: FreshCore
  let host: RunningHost | undefined
  let sessionId = ''
  let logged: string[] = []
  let seen: (string | undefined)[] = []
  before(async () => {
    core = await freshCore()
  })
  beforeEach(async () => {
    sessionId = (await core.turnlog.sessions.create({ userId: 'ann' })).id
    logged = []
    seen = []
  })
  afterEach(async () => {
    await host?.stop()
    host = undefined
  })
  after(() => core.end())

  const ask = (id = sessionId): Promise<globalThis.Response> =>
    fetch(`${host!.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-user': 'ann', origin: 'https://app.test' },
      body: JSON.stringify({ session_id: id, messages: [{ role: 'user', content: 'hi' }], stream: true }),
    })
  const remembers = async (): Promise<void> => {
    const response = await ask()
    expect(await response.text()).to.equal(answer)
    const exposed = response.headers.get('access-control-expose-headers')
    expect(exposed).to.contain('X-Host').and.to.contain('X-Session-Id')
    const page = await core.turnlog.messages.list({ userId: 'ann', sessionId })
    expect(page!.data.map(({ status, message }) => [status, message.content])).to.deep.equal([
      ['done', 'hi'],
      ['done', 'in order'],
    ])
    expect(new Set(seen)).to.deep.equal(new Set(['this request']))
    expect(logged.length).to.be.greaterThan(0)
  }
  const log = (line: string): void => void logged.push(line)

  const login: RequestHandler = (req, _res, next) => {
    req.user = { id: req.get('x-user') }
    next()
  }
  const expressStack = (): RequestHandler[] => [
    (_req, _res, next) => context.run('this request', next),
    helmet(),
    cors({ origin: 'https://app.test', exposedHeaders: ['X-Host'] }),
    session({ secret: 'test', resave: false, saveUninitialized: true }),
    passport.initialize() as RequestHandler,
    login,
    morgan('tiny', { stream: { write: log } }) as RequestHandler,
    pinoHttp({ logger: pino({ level: 'info' }, { write: log }) }),
    rateLimit({ limit: 100 }) as RequestHandler,
  ]
  const startExpress = async (
    create: typeof express,
    outside: RequestHandler[],
    inside: RequestHandler[],
  ): Promise<void> => {
    const app = create()
    const userId = (req: Request) => Reflect.get(req.user ?? {}, 'id') as string | undefined
    app.use(...outside, express.json(), overExpress.chatHistory(core.turnlog, { userId }))
    if (inside.length > 0) app.use(...inside)
    app.post('/v1/chat/completions', async (_req, res) => {
      seen.push(context.getStore())
      res.type('text/event-stream')
      for (const event of answer.split(/(?<=\n\n)/)) {
        res.write(event)
        await new Promise((resolve) => setImmediate(resolve))
        seen.push(context.getStore())
      }
      res.end()
    })
    host = await listen(createServer(app))
  }

  for (const [name, create] of Object.entries(versionsOfExpress)) {
    it(`of ${name}: all of it outside, compression too`, () =>
      startExpress(create, [...expressStack(), compression({ threshold: 0 })], []).then(remembers))

    it(`of ${name}: compression, morgan, pino-http and a limit inside`, async () => {
      const stack = expressStack()
      const inside = [...stack.slice(6), compression({ threshold: 0 })]
      await startExpress(create, stack.slice(0, 6), inside)
      await remembers()
    })
  }

  const koaStack = (app: Koa): Middleware[] => [
    (_ctx, next) => context.run('this request', next),
    koaCors({ origin: 'https://app.test', exposeHeaders: ['X-Host'] }),
    koaSession({ key: 'host' }, app),
    (ctx, next) => {
      ctx.session!.visits = 1
      ctx.state.user = { id: ctx.get('x-user') }
      return next()
    },
    async (ctx, next) => {
      await next()
      log(`${ctx.method} ${ctx.status}`)
    },
  ]
  const startKoa = async (Application: typeof Koa, place: 'outside' | 'inside'): Promise<void> => {
    const app = new Application({ keys: ['test'] })
    const squeeze = compress({ threshold: 0 }) as Middleware
    const history = overKoa.chatHistory(core.turnlog, {
      userId: (ctx) => (ctx.state.user as { id: string }).id,
    })
    for (const middleware of koaStack(app)) app.use(middleware)
    if (place === 'outside') app.use(squeeze)
    app.use(bodyParser()).use(history)
    if (place === 'inside') app.use(squeeze)
    app.use((ctx: Context) => {
      seen.push(context.getStore())
      const stream = new PassThrough()
      stream.on('finish', () => seen.push(context.getStore()))
      ctx.type = 'text/event-stream'
      ctx.body = stream.end(answer)
    })
    host = await listen(serverOf(app))
  }
  for (const [name, Application] of Object.entries(versionsOfKoa)) {
    for (const place of ['outside', 'inside'] as const) {
      it(`of ${name}: cors, a session, a log, and compression ${place}`, () =>
        startKoa(Application, place).then(remembers))
    }
  }

  for (const [name, create] of Object.entries(versionsOfExpress)) {
    it(`gives errors to the error handler of an ${name} host that asks for them`, async () => {
      const app = create()
      const sub = create().use(create.json())
      sub.use(overExpress.chatHistory(core.turnlog, { userId: () => 'ann', onError: 'next' }))
      app.use(sub)
      app.use((error: TurnlogError, _req: Request, res: Response, _next: NextFunction) => {
        res.status(error.status).json({ mine: error.code })
      })
      host = await listen(createServer(app))
      const response = await ask('nobody')
      expect([response.status, await response.json()]).to.deep.equal([404, { mine: 'session_not_found' }])
    })
  }

  for (const [name, Application] of Object.entries(versionsOfKoa)) {
    it(`gives errors to what is mounted outside in a ${name} host that asks for them`, async () => {
      const app = new Application()
      app.use(async (ctx, next) => {
        await next().catch((error: TurnlogError) => {
          ctx.status = error.status
          ctx.body = { mine: error.code }
        })
      })
      app.use(bodyParser()).use(overKoa.chatHistory(core.turnlog, { userId: () => 'ann', onError: 'next' }))
      host = await listen(serverOf(app))
      const response = await ask('nobody')
      expect([response.status, await response.json()]).to.deep.equal([404, { mine: 'session_not_found' }])
    })
  }
})
