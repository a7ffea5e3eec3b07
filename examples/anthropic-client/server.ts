/**
 * Koa and the official @anthropic-ai/sdk client, in Anthropic's own format.
 * Environment: PORT (8000), DATABASE_URL (else in memory), ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY.
 */
import { Readable } from 'node:stream'

import Anthropic from '@anthropic-ai/sdk'
import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import Koa, { type Context } from 'koa'
import { anthropicMessages, createTurnlog } from 'turnlog'
import { remember, sessionRoutes } from 'turnlog/koa'

const anthropic = new Anthropic()
const turnlog = createTurnlog({
  database: process.env['DATABASE_URL'] ?? 'memory',
  format: anthropicMessages,
})
// The header stands for your own auth.
const userId = (ctx: Context): string => ctx.get('x-user')

const router = new Router()
router.all('/chat/sessions{/*rest}', sessionRoutes(turnlog, { userId }))
router.post('/v1/messages', remember(turnlog, { userId }), answer)

async function answer(ctx: Context): Promise<void> {
  const body = ctx.request.body as Anthropic.MessageCreateParams
  const options = { signal: ctx.state.turnlog?.signal }
  if (body.stream !== true) return void (ctx.body = await anthropic.messages.create(body, options))
  const events = await anthropic.messages.create(body, options)
  ctx.type = 'text/event-stream'
  ctx.body = Readable.from(asText(events))
}

async function* asText(events: AsyncIterable<Anthropic.MessageStreamEvent>): AsyncGenerator<string> {
  for await (const event of events) yield `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}

const app = new Koa()
app.use(bodyParser())
app.use(router.routes())
const server = app.listen(Number(process.env['PORT'] ?? 8000), '127.0.0.1', () =>
  console.log('listens on', server.address()),
)
process.once('SIGTERM', () => void stop())

async function stop(): Promise<void> {
  server.close()
  await turnlog.close()
  server.closeAllConnections()
}
