/*
 * A host server in a process of its own, with Turnlog or without. Its handler asks the provider and passes the answer on;
 * `/echo` answers with what it was sent.
 */
import { Agent, createServer, request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'

import { bodyParser } from '@koa/bodyparser'
import express, { type Request, type Response } from 'express'
import Koa from 'koa'
import { createTurnlog, type Turnlog } from 'turnlog'
import { remember as rememberInExpress } from 'turnlog/express'
import { remember as rememberInKoa } from 'turnlog/koa'

import type { HostSettings } from './start.js'

const settings = JSON.parse(process.argv[2]!) as HostSettings
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

const turnlog =
  settings.database === undefined
    ? undefined
    : createTurnlog({ database: settings.database, ...(settings.redis && { redis: settings.redis }) })

function ask(path: string, body: unknown): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        port: settings.provider,
        host: '127.0.0.1',
        agent,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      },
      resolve,
    )
    outgoing.on('error', reject)
    outgoing.end(JSON.stringify(body))
  })
}

async function bodyOf(answer: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString())
}

const user = (): string => 'bench'

async function answerJson(req: Request, res: Response): Promise<void> {
  res.json(await bodyOf(await ask('/json', req.body)))
}

async function answerStream(req: Request, res: Response): Promise<void> {
  const answer = await ask(req.path.slice('/ask'.length), req.body)
  res.setHeader('content-type', 'text/event-stream')
  pipeline(answer, res, () => {})
}

function expressHost(history: Turnlog | undefined) {
  const app = express()
  app.use(express.json())
  app.post('/echo', (req, res) => void res.json(req.body))
  if (history) app.use('/ask', rememberInExpress(history, { userId: user, autoCreate: true }))
  app.post('/ask/json', (req, res) => void answerJson(req, res))
  app.post(['/ask/stream', '/ask/brief', '/ask/hold'], (req, res) => void answerStream(req, res))
  return createServer(app)
}

function koaHost(history: Turnlog | undefined) {
  const app = new Koa()
  app.silent = true
  app.use(bodyParser())
  if (history) app.use(rememberInKoa(history, { userId: user, autoCreate: true }))
  app.use(async (ctx) => {
    const body = (ctx.request as unknown as { body: unknown }).body
    if (ctx.path === '/echo') ctx.body = body
    else ctx.body = await bodyOf(await ask('/json', body))
  })
  const handle = app.callback()
  return createServer((req, res) => void handle(req, res))
}

const server = settings.framework === 'koa' ? koaHost(turnlog) : expressHost(turnlog)
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))

process.on('message', () => {
  const { gc } = globalThis as { gc?: () => void }
  gc?.()
  gc?.()
  const { heapUsed, external } = process.memoryUsage()
  process.send?.({ bytes: heapUsed + external })
})
process.on('disconnect', () => process.exit())
