/**
 * A whole host server: a Koa service with its own auth and its own completion handler, to which Turnlog adds a memory.
 * Environment: PORT (8000), DATABASE_URL, REDIS_URL, JWT_SECRET, UPSTREAM_URL (ending in /v1), UPSTREAM_API_KEY, TURNLOG_DIR.
 */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import Koa, { type Context } from 'koa'
import { bearer, createTurnlog } from 'turnlog'
import { chatHistory } from 'turnlog/koa'

import { completion, completionEvents, demoAnswer, type DemoRequest } from '../demo-model.js'
import { runReferenceHost, setting } from '../reference-host.js'

const upstreamUrl = setting('UPSTREAM_URL')
const secret = setting('JWT_SECRET') ?? randomBytes(32).toString('hex')

const turnlog = createTurnlog({
  database: setting('DATABASE_URL') ?? 'embedded',
  redis: setting('REDIS_URL'),
})

const router = new Router()
router.get('/healthz', (ctx) => void (ctx.body = { status: 'ok' }))
router.get('/readyz', async (ctx) => {
  try {
    await turnlog.ready()
    ctx.body = { status: 'ok' }
  } catch (error) {
    ctx.status = 503
    ctx.body = { status: 'unavailable', reason: (error as Error).message }
  }
})
router.post('/v1/chat/completions', upstreamUrl === undefined ? answerFromDemo : forward)

const app = new Koa()
app.use(bodyParser({ jsonLimit: '10mb' }))
app.use(chatHistory(turnlog, { userId: bearer({ secret }) }))
app.use(router.routes())

/** Send the body, with its history, to the provider, and the provider's bytes back. */
async function forward(ctx: Context): Promise<void> {
  const upstream = await fetch(`${upstreamUrl}/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${setting('UPSTREAM_API_KEY') ?? ''}`,
    },
    body: JSON.stringify(ctx.request.body),
    signal: ctx.state.turnlog?.signal,
  })
  ctx.status = upstream.status
  for (const name of ['content-type', 'retry-after', 'x-request-id']) {
    const value = upstream.headers.get(name)
    if (value !== null) ctx.set(name, value)
  }
  ctx.body = upstream.body && Readable.fromWeb(upstream.body)
}

function answerFromDemo(ctx: Context): void {
  const { model = 'demo', messages, stream } = ctx.request.body as DemoRequest
  const answer = demoAnswer(messages)
  if (stream !== true) return void (ctx.body = completion(model, answer))
  ctx.type = 'text/event-stream'
  ctx.body = Readable.from(slowly(completionEvents(model, answer)))
}

async function* slowly(events: Iterable<string>): AsyncGenerator<string> {
  for (const event of events) {
    yield event
    await sleep(20)
  }
}

const answer = app.callback()
await runReferenceHost(
  'Koa',
  createServer((req, res) => void answer(req, res)),
  turnlog,
  secret,
)
