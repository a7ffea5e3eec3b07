/**
 * A whole host server: an Express service with its own auth and its own completion handler, to which Turnlog adds a memory.
 * Environment: PORT (8000), DATABASE_URL, REDIS_URL, JWT_SECRET, UPSTREAM_URL (ending in /v1), UPSTREAM_API_KEY, TURNLOG_DIR.
 */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import express, { type Request, type Response } from 'express'
import { bearer, createTurnlog } from 'turnlog'
import { chatHistory } from 'turnlog/express'

import { completion, completionEvents, demoAnswer, type DemoRequest } from '../demo-model.js'
import { runReferenceHost, setting } from '../reference-host.js'

const upstreamUrl = setting('UPSTREAM_URL')
const secret = setting('JWT_SECRET') ?? randomBytes(32).toString('hex')

const turnlog = createTurnlog({
  database: setting('DATABASE_URL') ?? 'embedded',
  redis: setting('REDIS_URL'),
})

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
app.post('/v1/chat/completions', upstreamUrl === undefined ? answerFromDemo : forward)

/** Send the body, with its history, to the provider, and the provider's bytes back. */
async function forward(req: Request, res: Response): Promise<void> {
  const upstream = await fetch(`${upstreamUrl}/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${setting('UPSTREAM_API_KEY') ?? ''}`,
    },
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
  const { model = 'demo', messages, stream } = req.body as DemoRequest
  const answer = demoAnswer(messages)
  if (stream !== true) return void res.json(completion(model, answer))
  res.setHeader('content-type', 'text/event-stream')
  for (const event of completionEvents(model, answer)) {
    res.write(event)
    await sleep(20)
  }
  res.end()
}

await runReferenceHost('Express', createServer(app), turnlog, secret)
