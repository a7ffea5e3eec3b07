import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import type Koa from 'koa'
import { koaBody } from 'koa-body'
import koaBodyParser from 'koa-bodyparser'
import type { Context, Middleware } from 'koa'
import compress from 'koa-compress'

import { remember } from '../../middleware/koa.js'
import { serverOf } from '../koa-server.js'
import type { RememberOptions } from '../../middleware/options.js'
import type { ProviderAnswer } from './answers.js'
import { askProvider, inPieces, listen, piecesOf, type Framework, type HostSetup } from './framework.js'

/** Hosts on one version of Koa. */
export const overKoa = (name: string, Application: typeof Koa): Framework => ({
  name,
  ways: [...Object.keys(ways), ...(name === 'Koa 3' ? Object.keys(waysOfKoa3) : [])],
  streamWays: [
    ...Object.keys(ways).filter((way) => way !== 'json'),
    ...(name === 'Koa 3' ? Object.keys(waysOfKoa3) : []),
  ],
  parsers: [...Object.keys(parsers), 'none'],
  start: async (setup) => {
    const app = new Application({ proxy: false })
    app.silent = true
    const parser = parsers[setup.parser ?? '@koa/bodyparser']?.()
    if (parser) app.use(parser)
    if (setup.compression === 'outside') app.use(compressed())
    if (setup.flushFirst) {
      app.use((ctx, next) => {
        ctx.status = 200
        ctx.type = setup.flushFirst!
        ctx.flushHeaders()
        return next()
      })
    }
    const router = new Router()
    const before: Middleware[] = []
    if (setup.turnlog) before.push(remember(setup.turnlog, optionsOf(setup)))
    if (setup.compression === 'inside') before.push(compressed())
    router.post(setup.path ?? '/v1/chat/completions', ...before, (ctx: Context) => answer(setup, ctx))
    app.use(router.routes())
    return listen(serverOf(app))
  },
})

const optionsOf = ({ options, sessionId, skip }: HostSetup): RememberOptions<Context> => ({
  ...options,
  ...(sessionId && { sessionId }),
  ...(skip && { skip }),
  userId,
})

const parsers: Readonly<Record<string, () => Middleware>> = {
  '@koa/bodyparser': () => bodyParser({ jsonLimit: '10mb' }),
  'koa-bodyparser': () => koaBodyParser({ jsonLimit: '10mb' }),
  'koa-body': () => koaBody({ jsonLimit: '10mb' }),
  'text of @koa/bodyparser': () => bodyParser({ enableTypes: ['text'], extendTypes: { text: ['*/*'] } }),
}

const compressed = (): Middleware => compress({ threshold: 0, br: false }) as Middleware

/** The user is whoever the header names: the host's own auth. */
const userId = (ctx: Context): string | undefined => ctx.get('x-user') || undefined

async function answer(setup: HostSetup, ctx: Context): Promise<void> {
  const { body } = ctx.request as unknown as { body: Record<string, unknown> }
  if (setup.handler) {
    ctx.respond = false
    if (!ctx.headerSent) ctx.res.statusCode = 200
    return setup.handler(body, ctx.res, ctx.state.turnlog)
  }
  const said = await askProvider(setup, body, ctx.state.turnlog)
  ctx.status = said.status
  const way = ctx.get('x-way') || 'json'
  await (ways[way] ?? waysOfKoa3[way])!(ctx, said)
}

type Way = (ctx: Context, said: ProviderAnswer) => void | Promise<void>

/** How a handler gives its answer: in `ctx.body` as an object, text, bytes or a stream, or to the response itself. */
const ways: Readonly<Record<string, Way>> = {
  json: (ctx, { text }) => void (ctx.body = JSON.parse(text)),
  send: (ctx, { text, type }) => {
    ctx.type = type
    ctx.body = text
  },
  end: (ctx, { text, type }) => {
    ctx.type = type
    ctx.set('x-request-id', 'req_1')
    ctx.body = Buffer.from(text)
  },
  counted: (ctx, { text, type }) => {
    ctx.type = type
    ctx.body = Readable.from(inPieces(text, 1000))
    ctx.length = Buffer.byteLength(text)
  },
  writes: (ctx, { text, type }) => {
    ctx.type = type
    const stream = new PassThrough()
    ctx.body = stream
    void (async () => {
      for (const piece of inPieces(text, 7)) {
        if (!stream.write(piece)) await sleep(1)
      }
      stream.end()
    })()
  },
  pipe: (ctx, said) => {
    ctx.type = said.type
    ctx.body = Readable.from(piecesOf(said))
  },
  generator: (ctx, { text, type }) => {
    ctx.type = type
    ctx.body = Readable.from(
      (async function* () {
        for (const piece of text.split(/(?<=\n)/)) yield piece
      })(),
    )
  },
  pipeline: async (ctx, { text, type, status }) => {
    ctx.respond = false
    ctx.res.statusCode = status
    ctx.res.setHeader('content-type', type)
    await pipeline(Readable.from(inPieces(text, 1000)), ctx.res)
  },
  raw: (ctx, { text, type, status }) => {
    ctx.res.writeHead(status, { 'content-type': type })
    for (const piece of inPieces(text, 100)) ctx.res.write(piece)
    ctx.res.end()
  },
}

const waysOfKoa3: Readonly<Record<string, Way>> = {
  web: (ctx, { text, type }) => {
    ctx.type = type
    ctx.body = new Response(text).body
  },
  response: (ctx, { text, type, status }) =>
    void (ctx.body = new Response(text, { status, headers: { 'content-type': type } })),
  blob: (ctx, { text, type }) => void (ctx.body = new Blob([text], { type })),
}
