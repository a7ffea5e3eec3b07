/**
 * The core alone, behind a WebSocket: `{session_id, question}` in, `{token}` … `{done, session_id}` or `{error}` out.
 * Environment: PORT (8000), DATABASE_URL (else in memory), OPENAI_BASE_URL, OPENAI_API_KEY, MODEL.
 */
import OpenAI from 'openai'
import { createTurnlog, TurnlogError } from 'turnlog'
import { type WebSocket, WebSocketServer } from 'ws'

const openai = new OpenAI()
const model = process.env['MODEL'] ?? 'gpt-4o'
const turnlog = createTurnlog({ database: process.env['DATABASE_URL'] ?? 'memory' })

const server = new WebSocketServer({ port: Number(process.env['PORT'] ?? 8000), host: '127.0.0.1' })
server.on('listening', () => console.log('listens on', server.address()))
server.on('connection', (socket, request) => {
  // The header stands for your own auth.
  const userId = String(request.headers['x-user'])
  const gone = new AbortController()
  socket.on('close', () => gone.abort())
  socket.on('message', (data: Buffer) => {
    const say = (line: object): void => socket.send(JSON.stringify(line))
    answer(socket, userId, data.toString(), gone.signal).catch((error: Error) =>
      say({ error: error instanceof TurnlogError && error.expose ? error.message : 'It failed.' }),
    )
  })
})

async function answer(socket: WebSocket, userId: string, data: string, signal: AbortSignal): Promise<void> {
  const { session_id, question } = JSON.parse(data) as { session_id: string; question: string }
  const turn = await turnlog.begin({ userId, sessionId: session_id, question, model, signal })
  try {
    const messages = turn.messages as unknown as OpenAI.ChatCompletionMessageParam[]
    const chunks = await openai.chat.completions.create(
      { model, messages, stream: true },
      { signal: turn.signal },
    )
    for await (const chunk of turn.record(chunks))
      socket.send(JSON.stringify({ token: chunk.choices[0]?.delta.content ?? '' }))
    // The loop is over once the answer is stored.
    socket.send(JSON.stringify({ done: turn.status === 'done', session_id: turn.sessionId }))
  } catch (error) {
    await turn.fail(error)
    throw error
  }
}

process.once('SIGTERM', () => void stop())

async function stop(): Promise<void> {
  await turnlog.close()
  for (const socket of server.clients) socket.terminate()
  server.close()
}
