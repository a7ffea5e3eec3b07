/**
 * Express and the official openai client: JSON, and streams whose events are written by hand.
 * Environment: PORT (8000), DATABASE_URL (else in memory), OPENAI_BASE_URL, OPENAI_API_KEY.
 */
import express, { type Request, type Response } from 'express'
import OpenAI from 'openai'
import { createTurnlog } from 'turnlog'
import { chatHistory } from 'turnlog/express'

const openai = new OpenAI()
const turnlog = createTurnlog({ database: process.env['DATABASE_URL'] ?? 'memory' })

const app = express()
app.use(express.json())
// The header stands for your own auth.
app.use(chatHistory(turnlog, { userId: (req) => req.get('x-user') }))
app.post('/v1/chat/completions', complete)

async function complete(req: Request, res: Response): Promise<void> {
  const body = req.body as OpenAI.ChatCompletionCreateParams
  const options = { signal: req.turnlog?.signal }
  if (body.stream !== true) return void res.json(await openai.chat.completions.create(body, options))
  const chunks = await openai.chat.completions.create(body, options)
  res.type('text/event-stream')
  for await (const chunk of chunks) res.write(`data: ${JSON.stringify(chunk)}\n\n`)
  res.end('data: [DONE]\n\n')
}

const server = app.listen(Number(process.env['PORT'] ?? 8000), '127.0.0.1', () =>
  console.log('listens on', server.address()),
)
process.once('SIGTERM', () => void stop())

async function stop(): Promise<void> {
  server.close()
  await turnlog.close()
  server.closeAllConnections()
}
