/**
 * A whole host server: an Express service with its own auth and its own completion handler, to which Turnlog adds a memory.
 * Environment: PORT (8000), DATABASE_URL, REDIS_URL, JWT_SECRET, UPSTREAM_URL (ending in /v1), UPSTREAM_API_KEY, TURNLOG_DIR.
 */
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import express, { type Request, type Response } from 'express'
import jwt from 'jsonwebtoken'
import { bearer, createTurnlog } from 'turnlog'
import { chatHistory } from 'turnlog/express'

import { completion, completionEvents, demoAnswer } from './demo-model.js'

const { DATABASE_URL, REDIS_URL, UPSTREAM_URL, UPSTREAM_API_KEY } = process.env
const secret = process.env.JWT_SECRET ?? randomBytes(32).toString('hex')

/** How long running answers may take to finish once the process is told to stop. */
const drainMs = 10_000

const turnlog = createTurnlog({ database: DATABASE_URL ?? 'embedded', redis: REDIS_URL })

const app = express()
app.get('/healthz', (_req, res) => void res.json({ status: 'ok' }))
app.get('/readyz', (_req, res) => {
  turnlog.ready().then(
    () => res.json({ status: 'ok' }),
    (error: Error) => res.status(503).json({ status: 'unavailable', reason: error.message }),
  )
})
app.use(express.json({ limit: '10mb' }))
app.use(chatHistory(turnlog, { userId: bearer({ secret }) }))
app.post('/v1/chat/completions', UPSTREAM_URL === undefined ? answerFromDemo : forward)

/** Send the body, with its history, to the provider, and the provider's bytes back. */
async function forward(req: Request, res: Response): Promise<void> {
  const upstream = await fetch(`${UPSTREAM_URL}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${UPSTREAM_API_KEY ?? ''}` },
    body: JSON.stringify(req.body),
    signal: req.turnlog?.signal,
  })
  res.status(upstream.status)
  for (const name of ['content-type', 'retry-after', 'x-request-id']) {
    const value = upstream.headers.get(name)
    if (value !== null) res.setHeader(name, value)
  }
  if (upstream.body === null) return void res.end()
  // A client that has gone away ends the pipeline early; there is nobody left to tell.
  await pipeline(Readable.fromWeb(upstream.body), res).catch(() => undefined)
}

async function answerFromDemo(req: Request, res: Response): Promise<void> {
  const { model = 'demo', messages, stream } = req.body
  const answer = demoAnswer(messages)
  if (stream !== true) return void res.json(completion(model, answer))
  res.setHeader('content-type', 'text/event-stream')
  for (const event of completionEvents(model, answer)) {
    res.write(event)
    await sleep(20)
  }
  res.end()
}

const server = app.listen(Number(process.env.PORT ?? 8000), '127.0.0.1', (error?: Error) => {
  if (error) throw error
  void start()
})

async function start(): Promise<void> {
  try {
    await turnlog.ready()
    printUsage()
  } catch (fault) {
    console.error((fault as Error).message)
    process.exitCode = 1
    await stop()
  }
}

function printUsage(): void {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const token = jwt.sign({ sub: 'demo-user' }, secret, { expiresIn: '12h' })
  const session = `demo-${Date.now().toString(36)}`
  const curl = (path: string, body?: object): string =>
    `curl -s ${path === '/v1/chat/completions' ? '-N ' : ''}${url}${path} -H "authorization: Bearer $TOKEN"` +
    (body ? ` -H 'content-type: application/json' -d '${JSON.stringify(body)}'` : '') +
    '; echo'
  const ask = (content: string, stream?: true): string =>
    curl('/v1/chat/completions', {
      session_id: session,
      model: 'demo',
      messages: [{ role: 'user', content }],
      ...(stream && { stream }),
    })
  console.log(`Turnlog's reference host (Express) listens on ${url}

export TOKEN=${token}

# create a session
${curl('/chat/sessions', { session_id: session, session_name: 'My first session' })}
# ask
${ask('My cat is called Ada.')}
# ask again: the answer quotes the first message, which this request does not carry
${ask('What is my cat called?')}
# list the messages
${curl(`/chat/sessions/${session}/messages`)}
# stream
${ask('And as a stream?', true)}`)
}

let stopping: Promise<void> | undefined
async function stop(): Promise<void> {
  stopping ??= (async () => {
    server.close()
    await turnlog.close({ drainMs })
    server.closeAllConnections()
  })()
  return stopping
}
process.once('SIGTERM', () => void stop())
process.once('SIGINT', () => void stop())
