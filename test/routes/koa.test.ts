import { createRequire } from 'node:module'

import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import { expect } from 'chai'
import Koa, { type Context, type Middleware } from 'koa'
import mount from 'koa-mount'
import Koa2 from 'koa2'

import type { Turnlog } from '../../lib/index.js'
import { chatHistory, sessionRoutes, statsRoute } from '../../middleware/koa.js'
import { serverOf } from '../koa-server.js'
import { clientOf, dataOf } from './client.js'
import { listen, type AppOptions, type Framework } from './framework.js'
import { Stage } from './stage.js'
import { sessionRoutesSuite } from './suite.js'

const parsers: Record<'json' | 'text' | 'lost', () => Middleware> = {
  json: () => bodyParser(),
  text: () => bodyParser({ enableTypes: ['text'], extendTypes: { text: ['*/*'] } }),
  lost: () => async (ctx, next) => {
    await new Promise((resolve) => ctx.req.resume().once('end', resolve))
    return next()
  },
}

/** How a version of the router spells everything below a path. */
interface RouterVersion {
  readonly Router: typeof Router
  readonly everythingBelow: (path: string) => string
}

const router15: RouterVersion = { Router, everythingBelow: (path) => `${path}{/*rest}` }
const load = createRequire(import.meta.url)
const versionOf = (alias: string, everythingBelow: RouterVersion['everythingBelow']): RouterVersion => {
  const loaded = load(alias) as typeof Router & { Router?: typeof Router }
  return { Router: loaded.Router ?? loaded, everythingBelow }
}
const router12 = versionOf('koa-router12', (path) => `${path}(.*)`)
const router13 = versionOf('koa-router13', (path) => `${path}(.*)`)
const router14 = versionOf('koa-router14', (path) => `${path}{/*rest}`)

function appOf(Application: typeof Koa, version: RouterVersion, options: AppOptions, errors: unknown[]): Koa {
  const { turnlog, mount: path = '/chat/sessions', parser = 'json', nesting = 'none', ...rest } = options
  const app = new Application()
  app.silent = true
  app.use(answersErrors(errors))
  if (parser !== 'none') app.use(parsers[parser]())
  const { userId, onError = 'respond' } = rest
  app.use(mount('/stats', statsRoute(turnlog, { userId, onError })))
  const routes = sessionRoutes(turnlog, rest)
  if (nesting === 'chatHistory') {
    app.use(chatHistory(turnlog as Turnlog, { ...rest, sessionsPath: path }))
  }
  if (nesting === 'none') app.use(mount(path, routes))
  if (nesting === 'router') {
    const inner = new version.Router().all(version.everythingBelow(path), routes as never)
    const outer = new version.Router().use('/:tenant', inner.routes() as never)
    app.use(outer.routes() as unknown as Middleware)
  }
  if (nesting === 'app') app.use(mount('/tenant', new Application().use(mount(path, routes))))
  app.use((ctx) => {
    ctx.status = 404
    ctx.body = { host: ctx.path }
  })
  return app
}

const answersErrors =
  (errors: unknown[]): Middleware =>
  async (ctx: Context, next) => {
    try {
      await next()
    } catch (error) {
      errors.push(error)
      const { status = 500, code = 'unknown' } = error as { status?: number; code?: string }
      ctx.status = status
      ctx.body = { host: code }
    }
  }

const frameworkOf = (name: string, Application: typeof Koa, version: RouterVersion): Framework => ({
  name,
  start(options) {
    const errors: unknown[] = []
    return listen(serverOf(appOf(Application, version, options, errors)), errors)
  },
})

/** What a version of the router can change: where it says that it is mounted. */
for (const [number, version] of [
  [12, router12],
  [13, router13],
  [14, router14],
  [15, router15],
] as const) {
  describe(`session routes on @koa/router ${number}`, () => {
    const stage = new Stage(frameworkOf(`@koa/router ${number}`, Koa, version))
    before(() => stage.open())
    beforeEach(() => stage.nextUser())
    afterEach(() => stage.stopOthers())
    after(() => stage.close())

    it('are found below a router in a router, and leave the other paths alone', async () => {
      const { url } = await stage.another({ nesting: 'router' })
      const call = clientOf(`${url}/acme/chat/sessions`)
      const created = await call('POST', '', stage.as({ body: { session_name: 'mounted' } }))
      expect(created.status, created.text).to.equal(201)
      const found = await call('GET', `/${String(created.json.session_id)}`, stage.as())
      expect(found.json).to.include({ session_name: 'mounted' })
      expect(dataOf(await call('GET', '?limit=1', stage.as()))).to.have.length(1)
      expect((await clientOf(url)('GET', '/acme/chat/other', stage.as())).json).to.deep.equal({
        host: '/acme/chat/other',
      })
    })
  })
}

sessionRoutesSuite(frameworkOf('Koa 3 with @koa/router 15', Koa, router15))
sessionRoutesSuite(frameworkOf('Koa 2 with @koa/router 12', Koa2 as unknown as typeof Koa, router12))
