import { createServer } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import bodyParser from 'body-parser'
import compression from 'compression'
import type express from 'express'
import type { NextFunction, Request, RequestHandler, Response } from 'express'

import { remember } from '../../middleware/express.js'
import type { RememberOptions } from '../../middleware/options.js'
import type { ProviderAnswer } from './answers.js'
import { askProvider, inPieces, listen, piecesOf, type Framework, type HostSetup } from './framework.js'

/** The user is whoever the header names: the host's own auth. */
const userId = (req: Request): string | undefined => req.get('x-user') ?? undefined

/** Hosts on one version of Express. */
export const overExpress = (name: string, create: typeof express): Framework => ({
  name,
  ways: Object.keys(ways),
  parsers: [...Object.keys(parsersOf(create)), 'none'],
  streamWays: ['end', 'writes', 'pipe', 'pipeline'],
  start: async (setup) => {
    const app = create()
    const path = setup.path ?? '/v1/chat/completions'
    const parser = parsersOf(create)[setup.parser ?? 'express.json']
    if (parser) app.use(parser)
    if (setup.compression === 'outside') app.use(compression({ threshold: 0 }))
    if (setup.flushFirst) {
      app.use((_req, res, next) => {
        res.type(setup.flushFirst!).flushHeaders()
        next()
      })
    }
    if (setup.turnlog) app.use(path, remember(setup.turnlog, optionsOf(setup)))
    if (setup.compression === 'inside') app.use(compression({ threshold: 0 }))
    app.post(path, (req, res, next) => void answerOrNext(setup, req, res, next))
    return listen(createServer(app))
  },
})

const optionsOf = ({ options, sessionId, skip }: HostSetup): RememberOptions<Request> => ({
  ...options,
  ...(sessionId && { sessionId }),
  ...(skip && { skip }),
  userId,
})

const parsersOf = (create: typeof express): Readonly<Record<string, RequestHandler>> => ({
  'express.json': create.json({ limit: '10mb' }) as RequestHandler,
  'body-parser': bodyParser.json({ limit: '10mb' }) as RequestHandler,
  'express.text': create.text({ type: '*/*' }) as RequestHandler,
  'express.raw': create.raw({ type: '*/*' }) as RequestHandler,
})

/** Express 4 does not see what an async handler throws. */
async function answerOrNext(
  setup: HostSetup,
  req: Request,
  res: Response,
  next: NextFunction,
): Promise<void> {
  try {
    await answer(setup, req, res)
  } catch (error) {
    next(error)
  }
}

async function answer(setup: HostSetup, req: Request, res: Response): Promise<void> {
  const body = req.body as Record<string, unknown>
  if (setup.handler) return setup.handler(body, res, req.turnlog)
  const said = await askProvider(setup, body, req.turnlog)
  await ways[req.get('x-way') ?? 'json']!(res.status(said.status), said)
}

/** How a handler writes its answer. */
const ways: Readonly<Record<string, (res: Response, said: ProviderAnswer) => void | Promise<void>>> = {
  json: (res, { text }) => void res.json(JSON.parse(text)),
  send: (res, { text, type }) => void res.type(type).send(text),
  end: (res, { text, type, status }) => {
    res.writeHead(status, { 'content-type': type, 'x-request-id': 'req_1' })
    res.end(text)
  },
  counted: async (res, { text, type, status }) => {
    res.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
    res.write(text)
    await sleep(5)
    res.end()
  },
  writes: async (res, { text, type }) => {
    res.type(type)
    for (const piece of inPieces(text, 7)) {
      await new Promise<void>((resolve) => void res.write(piece, () => resolve()))
    }
    res.end()
  },
  pipe: (res, said) => {
    res.type(said.type)
    Readable.from(piecesOf(said)).pipe(res)
  },
  pipeline: async (res, { text, type }) => {
    res.type(type)
    await pipeline(Readable.from(inPieces(text, 1000)), res)
  },
}
