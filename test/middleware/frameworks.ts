import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import compression from 'compression'
import express, {
  type Express,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from 'express'
import express4 from 'express4'

import type { Turn, Turnlog } from '../../lib/index.js'
import { remember } from '../../middleware/express.js'
import type { RememberOptions } from '../../middleware/options.js'
import type { ProviderAnswer } from './answers.js'

/** How a handler writes its answer. */
export const ways = ['json', 'send', 'end', 'counted', 'writes', 'pipe', 'pipeline'] as const
export type Way = (typeof ways)[number]

/** What the handler of the test's host does with a request: it is told what the provider would be sent. */
export type Provider = (
  sent: Record<string, unknown>,
  turn: Turn | undefined,
) => ProviderAnswer | Promise<ProviderAnswer>

export interface HostSetup {
  /** Without it the host stands alone. */
  readonly turnlog?: Turnlog
  readonly provider: Provider
  readonly options?: Partial<Omit<RememberOptions<unknown>, 'userId' | 'sessionId' | 'skip'>>
  readonly compression?: 'outside' | 'inside'
  /** A handler of the test's own, in place of the ways. */
  readonly handler?: (
    body: Record<string, unknown>,
    res: Response,
    turn: Turn | undefined,
  ) => void | Promise<void>
}

export interface RunningHost {
  readonly url: string
  stop(): Promise<void>
}

export interface Framework {
  readonly name: string
  start(setup: HostSetup): Promise<RunningHost>
}

/** The user is whoever the header names: the host's own auth. */
const userId = (req: Request): string | undefined => req.get('x-user') ?? undefined

const overExpress =
  (create: typeof express) =>
  async (setup: HostSetup): Promise<RunningHost> => {
    const app = create()
    app.use(create.json({ limit: '10mb' }) as RequestHandler)
    if (setup.compression === 'outside') app.use(compression({ threshold: 0 }))
    if (setup.turnlog) app.use('/v1/chat/completions', remember(setup.turnlog, { ...setup.options, userId }))
    if (setup.compression === 'inside') app.use(compression({ threshold: 0 }))
    app.post('/v1/chat/completions', (req, res, next) => void answerOrNext(setup, req, res, next))
    return listen(app)
  }

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
  const said = await setup.provider(body, req.turnlog)
  await expressWays[(req.get('x-way') ?? 'json') as Way](res.status(said.status), said)
}

const expressWays: Record<Way, (res: Response, said: ProviderAnswer) => void | Promise<void>> = {
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
  pipe: (res, { text, type }) => {
    res.type(type)
    Readable.from(inPieces(text, 11)).pipe(res)
  },
  pipeline: async (res, { text, type }) => {
    res.type(type)
    await pipeline(Readable.from(inPieces(text, 1000)), res)
  },
}

/** Cut without regard to events or characters. */
export function inPieces(text: string, size: number): Buffer[] {
  const bytes = Buffer.from(text)
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

async function listen(app: Express): Promise<RunningHost> {
  const server: Server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export const frameworks: readonly Framework[] = [
  { name: 'Express 5', start: overExpress(express) },
  { name: 'Express 4', start: overExpress(express4 as unknown as typeof express) },
]
