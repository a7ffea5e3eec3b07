/** A server as a host writes it, in a process of its own. It is told by headers what its client's script wants. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

import express, { type Request, type Response } from 'express'

import { createTurnlog } from '../../lib/index.js'
import { remember, sessionRoutes } from '../../middleware/express.js'
import { arm, pass, watchCache, watchDatabase } from './crashing.js'
import type { HostTask, Measure } from './host.js'

const task = JSON.parse(process.argv[2]!) as HostTask
const turnlog = createTurnlog({
  database: task.database,
  redis: task.redis,
  maxMemoryBytes: task.maxMemoryBytes,
  onFault: () => undefined,
})
const agent = new Agent({ keepAlive: true, maxSockets: 2000 })
const provider = new URL(task.provider)
if (task.crashes) {
  watchDatabase()
  watchCache()
}

const userId = (req: Request): string | undefined => req.get('x-user')

const app = express()
app.disable('x-powered-by')
if (task.crashes) app.use(arm)
app.use(express.json({ limit: '10mb' }))
app.use((_req, _res, next) => {
  pass('its body is parsed')
  next()
})
app.post(
  '/v1/chat/completions',
  remember(turnlog, { userId, autoCreate: true }),
  (req, res) => void forward(req, res),
)
app.use('/chat/sessions', sessionRoutes(turnlog, { userId }))

async function forward(req: Request, res: Response): Promise<void> {
  pass('the handler is called')
  if (req.get('x-discard') !== undefined) {
    await req.turnlog?.discard()
    return void res.json({ discarded: true })
  }
  const answer = await ask(req).catch(() => undefined)
  if (!answer)
    return void (res.headersSent || res.destroyed || res.status(502).json({ error: 'no provider' }))
  pass('the provider answers')
  answer.once('data', () => pass('the first bytes come'))
  answer.once('end', () => pass('the provider has ended'))
  res.status(answer.statusCode ?? 502)
  for (const name of ['content-type', 'content-length']) {
    const value = answer.headers[name]
    if (typeof value === 'string') res.setHeader(name, value)
  }
  if (req.get('x-whole') !== undefined) {
    const whole = await readWhole(answer).catch(() => undefined)
    return void (whole ? res.send(whole) : res.destroy())
  }
  await pipeline(answer, res).catch(() => undefined)
}

/** As a handler does that waits for its SDK's object: only then a header can still say what became of the answer. */
async function readWhole(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function ask(req: Request): Promise<IncomingMessage> {
  const body = JSON.stringify(req.body)
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-attempt': req.get('x-attempt') ?? '',
    'x-script': req.get('x-script') ?? '',
    'x-session': req.turnlog?.sessionId ?? '',
    'x-turn': String(req.turnlog?.number ?? 0),
  }
  return new Promise((resolve, reject) => {
    httpRequest(
      {
        host: provider.hostname,
        port: provider.port,
        method: 'POST',
        path: '/',
        agent,
        headers,
        signal: req.turnlog?.signal,
      },
      resolve,
    )
      .on('error', reject)
      .on('finish', () => pass('the provider is asked'))
      .end(body)
  })
}

function measure(): Measure {
  if (!globalThis.gc) throw new Error('Run with --expose-gc to be measured.')
  globalThis.gc()
  const resources: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1
  return { heapBytes: process.memoryUsage().heapUsed, resources }
}

const server = app.listen(0, '127.0.0.1', () =>
  process.send!(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)
server.keepAliveTimeout = 0

async function close(): Promise<void> {
  server.close()
  await turnlog.close({ drainMs: 5000 })
  server.closeAllConnections()
  agent.destroy()
  process.disconnect()
}

process.on('message', (message) => {
  if (message === 'measure') process.send!(measure())
  if (message === 'close') void close()
})
process.on('disconnect', () => setTimeout(() => process.exit(1), 10_000).unref())
