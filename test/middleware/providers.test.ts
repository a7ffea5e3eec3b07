import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import Anthropic from '@anthropic-ai/sdk'
import { expect } from 'chai'
import express, { type Request, type RequestHandler, type Response } from 'express'
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware'
import OpenAI from 'openai'
import { request as undiciRequest } from 'undici'
import { WebSocket, WebSocketServer } from 'ws'

import {
  anthropicMessages,
  type Format,
  type JsonObject,
  type Message,
  type Turnlog,
} from '../../lib/index.js'
import { remember } from '../../middleware/express.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { refusedBy } from '../replay/refusal.js'
import { anthropicStream, jsonAnswer, streamAnswer } from './answers.js'
import { listen, type RunningHost } from './framework.js'

interface Sent {
  readonly stream?: boolean
  readonly messages: { readonly role: string; readonly content: string }[]
}

describe('ways of calling a provider', () => {
  let core: FreshCore
  let provider: RunningHost
  let host: RunningHost | undefined
  let sessionId = ''
  let prompts: Sent[] = []
  before(async () => {
    core = await freshCore()
    const app = express().use(express.json())
    app.post('/v1/*path', (req, res, next) => {
      const rules = req.path === '/v1/messages' ? 'anthropic-messages' : 'openai-chat'
      const refused = refusedBy(rules, req.body as JsonObject)
      if (refused) res.status(refused.status).type(refused.type).send(refused.text)
      else next()
    })
    app.post('/v1/chat/completions', (req, res) => {
      const sent = req.body as Sent
      prompts.push(sent)
      const { type, text } = (sent.stream ? streamAnswer : jsonAnswer)(`answer ${prompts.length}`)
      res.type(type).send(text)
    })
    app.post('/v1/messages', (req, res) => {
      prompts.push(req.body as Sent)
      res.type('text/event-stream').send(anthropicStream(`answer ${prompts.length}`).text)
    })
    provider = await listen(createServer(app))
  })
  beforeEach(async () => {
    prompts = []
    sessionId = (await core.turnlog.sessions.create({ userId: 'ann' })).id
  })
  afterEach(async () => {
    await host?.stop()
    host = undefined
  })
  after(async () => {
    await provider.stop()
    await core.end()
  })

  const start = async (handler: RequestHandler, format?: Format): Promise<void> => {
    const app = express().use(express.json())
    app.post(
      ['/v1/chat/completions', '/v1/messages'],
      remember(core.turnlog, { userId: () => 'ann', format }),
      handler,
    )
    host = await listen(createServer(app))
  }
  const ask = async (content: string, stream: boolean, path = '/v1/chat/completions'): Promise<string> => {
    const messages = [{ role: 'user', content }]
    const response = await fetch(`${host!.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ session_id: sessionId, model: 'm', max_tokens: 99, messages, stream }),
    })
    const text = await response.text()
    expect(response.status, text).to.equal(200)
    return text
  }
  /** Two turns: the second prompt carries the first, and both are stored. */
  const remembersTwo = async (stream: boolean, path?: string): Promise<void> => {
    expect(await ask('one', stream, path)).to.contain('answer 1')
    expect(await ask('two', stream, path)).to.contain('answer 2')
    expect(prompts[1]!.messages.map(({ role }) => role)).to.deep.equal(['user', 'assistant', 'user'])
    expect(prompts[1]).to.not.have.property('session_id')
    const page = await core.turnlog.messages.list({ userId: 'ann', sessionId })
    expect(page!.data.map(({ status, message }) => `${status} ${textOf(message)}`)).to.deep.equal([
      'done one',
      'done answer 1',
      'done two',
      'done answer 2',
    ])
  }
  const upstream = (): string => `${provider.url}/v1/chat/completions`
  const sentOn = (req: Request) => ({
    method: 'POST' as const,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(req.body),
    signal: req.turnlog?.signal,
  })

  const forwarding: Record<string, (req: Request, res: Response) => Promise<void>> = {
    'fetch, piped through': async (req, res) => {
      const answer = await fetch(upstream(), sentOn(req))
      res.type(answer.headers.get('content-type')!)
      await pipeline(Readable.fromWeb(answer.body!), res)
    },
    'undici, piped through': async (req, res) => {
      const { headers, body } = await undiciRequest(upstream(), sentOn(req))
      res.type(String(headers['content-type']))
      await pipeline(body, res)
    },
  }
  for (const [way, forward] of Object.entries(forwarding)) {
    for (const stream of [false, true]) {
      it(`${way}: ${stream ? 'a stream' : 'JSON'}`, async () => {
        await start(forward)
        await remembersTwo(stream)
      })
    }
  }

  for (const stream of [false, true]) {
    it(`http-proxy-middleware with fixRequestBody, without a warning: ${stream ? 'a stream' : 'JSON'}`, async () => {
      const warnings: Error[] = []
      const note = (warning: Error): void =>
        void (warning.name === 'TurnlogWarning' && warnings.push(warning))
      process.on('warning', note)
      await start(
        createProxyMiddleware({
          target: provider.url,
          changeOrigin: true,
          on: { proxyReq: fixRequestBody },
        }),
      )
      await remembersTwo(stream)
      process.off('warning', note)
      expect(warnings).to.deep.equal([])
    })
  }

  it('the official openai client, its chunks written as events by hand', async () => {
    const client = new OpenAI({ baseURL: `${provider.url}/v1`, apiKey: 'none' })
    await start(async (req, res) => {
      const body = req.body as OpenAI.ChatCompletionCreateParamsStreaming
      const chunks = await client.chat.completions.create(body, { signal: req.turnlog!.signal })
      res.type('text/event-stream')
      for await (const chunk of chunks) res.write(`data: ${JSON.stringify(chunk)}\n\n`)
      res.end('data: [DONE]\n\n')
    })
    await remembersTwo(true)
  })

  it('the official openai client, its completion as JSON', async () => {
    const client = new OpenAI({ baseURL: `${provider.url}/v1`, apiKey: 'none' })
    await start(async (req, res) => {
      res.json(
        await client.chat.completions.create(req.body as OpenAI.ChatCompletionCreateParamsNonStreaming),
      )
    })
    await remembersTwo(false)
  })

  it('the official @anthropic-ai/sdk client, in its own format', async () => {
    const client = new Anthropic({ baseURL: provider.url, apiKey: 'none' })
    await start(async (req, res) => {
      const events = await client.messages.create(req.body as Anthropic.MessageCreateParamsStreaming)
      res.type('text/event-stream')
      for await (const event of events) res.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
      res.end()
    }, anthropicMessages)
    await remembersTwo(true, '/v1/messages')
  })

  it('the core alone, behind a WebSocket', async () => {
    const client = new OpenAI({ baseURL: `${provider.url}/v1`, apiKey: 'none' })
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(server, 'listening')
    server.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => void answerSocket(core.turnlog, client, socket, data.toString()))
    })
    const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
    await once(socket, 'open')
    const said: string[] = []
    for (const question of ['one', 'two']) {
      socket.send(JSON.stringify({ sessionId, question }))
      const [data] = (await once(socket, 'message')) as [Buffer]
      said.push(data.toString())
    }
    socket.terminate()
    server.close()
    expect(said).to.deep.equal(['answer 1', 'answer 2'])
    expect(prompts[1]!.messages).to.have.length(3)
  })
})

/** OpenAI's answers are text, Anthropic's are blocks of it. */
const textOf = ({ content }: Message): string =>
  Array.isArray(content)
    ? (content as { text: string }[]).map(({ text }) => text).join('')
    : (content as string)

async function answerSocket(
  turnlog: Turnlog,
  client: OpenAI,
  socket: WebSocket,
  data: string,
): Promise<void> {
  const { sessionId, question } = JSON.parse(data) as { sessionId: string; question: string }
  const turn = await turnlog.begin({ userId: 'ann', sessionId, question })
  const chunks = await client.chat.completions.create({
    model: 'm',
    messages: turn.messages as unknown as OpenAI.ChatCompletionMessageParam[],
    stream: true,
  })
  let said = ''
  for await (const chunk of turn.record(chunks)) said += chunk.choices[0]?.delta.content ?? ''
  socket.send(said)
}
