/**
 * Express and a handler in its own words: `{conversation, message}` in, lines of JSON out, errors inside a 200.
 * Environment: PORT (8000), DATABASE_URL (else in memory), OPENAI_BASE_URL, OPENAI_API_KEY, MODEL.
 */
import express, { type Request, type Response } from 'express'
import OpenAI from 'openai'
import { createTurnlog, hostFormat, type Turn } from 'turnlog'
import { remember } from 'turnlog/express'

interface Ask {
  /** Without one, a new conversation. */
  readonly conversation?: string
  readonly message: string
}

interface Line {
  readonly token?: string
  readonly failed?: string
  readonly done?: true
}

const openai = new OpenAI()
const turnlog = createTurnlog({ database: process.env['DATABASE_URL'] ?? 'memory' })

const format = hostFormat({
  name: 'support-chat',
  read: (body) => ({ question: body['message'] as string, system: 'You are kind.' }),
  inject: false,
  framing: 'ndjson',
  event: ({ token, failed, done }: Line) => ({ delta: token, error: failed, end: done }),
  mustEnd: true,
})

const app = express()
app.use(express.json())
app.post(
  '/chat',
  remember(turnlog, {
    // The header stands for your own auth.
    userId: (req) => req.get('x-user'),
    sessionId: (req) => (req.body as Ask | undefined)?.conversation ?? 'new',
    autoCreate: true,
    format,
  }),
  chat,
)

async function chat(req: Request, res: Response): Promise<void> {
  const turn = req.turnlog
  if (turn === undefined) return void res.status(400).json({ failed: 'Nothing was asked.' })
  const say = (line: Line): void => void res.write(`${JSON.stringify(line)}\n`)
  res.type('application/x-ndjson')
  if ((req.body as Ask).message === '/help') {
    await turn.discard()
    say({ token: 'Ask me anything.' })
  } else {
    await answer(turn, say).catch((error: Error) => say({ failed: error.message }))
  }
  say({ done: true })
  res.end()
}

async function answer({ messages, signal }: Turn, say: (line: Line) => void): Promise<void> {
  const chunks = await openai.chat.completions.create(
    {
      model: process.env['MODEL'] ?? 'gpt-4o',
      messages: messages as unknown as OpenAI.ChatCompletionMessageParam[],
      stream: true,
    },
    { signal },
  )
  for await (const chunk of chunks) say({ token: chunk.choices[0]?.delta.content ?? '' })
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
