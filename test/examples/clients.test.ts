import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import path from 'node:path'

import { expect } from 'chai'
import express from 'express'
import { WebSocket } from 'ws'

import { refusedBy } from '../replay/refusal.js'
import type { JsonObject } from '../../lib/index.js'
import { anthropicJson, anthropicStream, jsonAnswer, streamAnswer } from '../middleware/answers.js'
import { listen, type RunningHost } from '../middleware/framework.js'
import { freshMigratedDatabase } from '../services/core.js'

const repository = path.resolve(import.meta.dirname, '../..')

interface Sent {
  readonly stream?: boolean
  readonly messages: readonly { readonly role: string; readonly content: unknown }[]
  readonly authorization: string | undefined
}

interface Listed {
  readonly data: readonly { readonly role: string; readonly status: string }[]
}

const overloaded = { status: 400, type: 'application/json', text: '{"error":{"message":"Overloaded."}}' }

/** Every small example, as a stranger runs it: a process on a real database, before a provider on this machine. */
describe('examples of calling a provider', function () {
  this.timeout(60_000)
  let provider: RunningHost
  let database: { url: string; drop(): Promise<void> }
  let prompts: Sent[] = []
  let child: ChildProcess | undefined
  before(async () => {
    database = await freshMigratedDatabase()
    const app = express().use(express.json())
    app.post('/v1/*path', (req, res) => {
      const { authorization } = req.headers
      const sent = { ...(req.body as Sent), authorization }
      prompts.push(sent)
      const asStream = req.path === '/v1/messages' ? anthropicStream : streamAnswer
      const asJson = req.path === '/v1/messages' ? anthropicJson : jsonAnswer
      const isOverloaded = JSON.stringify(sent.messages.at(-1)).includes('overload')
      const rules = req.path === '/v1/messages' ? 'anthropic-messages' : 'openai-chat'
      const refused = refusedBy(rules, req.body as JsonObject)
      const { status, type, text } = isOverloaded
        ? overloaded
        : (refused ?? (sent.stream === true ? asStream : asJson)(`answer ${prompts.length}`))
      res.status(status).type(type).send(text)
    })
    provider = await listen(createServer(app))
  })
  beforeEach(() => {
    prompts = []
  })
  afterEach(async () => {
    if (child?.exitCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  })
  after(async () => {
    await provider.stop()
    await database.drop()
  })

  /** Start it on a free port; resolves with the port that its first line names. */
  async function start(name: string): Promise<number> {
    child = spawn(process.execPath, ['--import', 'tsx', `examples/${name}/server.ts`], {
      cwd: repository,
      env: {
        PATH: process.env.PATH,
        PORT: '0',
        DATABASE_URL: database.url,
        OPENAI_BASE_URL: `${provider.url}/v1`,
        OPENAI_API_KEY: 'a-key',
        ANTHROPIC_BASE_URL: provider.url,
        ANTHROPIC_API_KEY: 'a-key',
        UPSTREAM_URL: `${provider.url}/v1`,
        UPSTREAM_API_KEY: 'a-key',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    for await (const line of createInterface({ input: child.stdout! })) {
      const port = /listens on .*port: (\d+)/.exec(line)?.[1]
      if (port !== undefined) {
        child.stdout!.resume()
        return Number(port)
      }
    }
    throw new Error(`examples/${name} ended without listening.`)
  }

  async function stop(): Promise<void> {
    const exited = once(child!, 'exit')
    child!.kill('SIGTERM')
    expect(await exited).to.deep.equal([0, null])
  }

  const call = async (port: number, method: string, where: string, body?: object): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}${where}`, {
      method,
      headers: { 'content-type': 'application/json', 'x-user': 'ann' },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    expect(response.ok, text).to.equal(true)
    return text
  }

  const clients = [
    ['openai-client', '/v1/chat/completions'],
    ['anthropic-client', '/v1/messages'],
    ['proxy', '/v1/chat/completions'],
  ] as const
  for (const [name, where] of clients) {
    it(`${name} remembers across JSON and streams, and stops by itself`, async () => {
      const port = await start(name)
      const { session_id } = JSON.parse(await call(port, 'POST', '/chat/sessions', {})) as {
        session_id: string
      }
      for (const stream of [false, true, false]) {
        const messages = [{ role: 'user', content: 'hi' }]
        const ask = { session_id, model: 'm', max_tokens: 99, messages, stream }
        expect(await call(port, 'POST', where, ask)).to.contain(`answer ${prompts.length}`)
      }
      expect(prompts.map(({ messages }) => messages.length)).to.deep.equal([1, 3, 5])
      const listed = JSON.parse(await call(port, 'GET', `/chat/sessions/${session_id}/messages`)) as Listed
      expect(listed.data.map(({ role, status }) => `${role} ${status}`)).to.deep.equal(
        Array.from({ length: 3 }, () => ['user done', 'assistant done']).flat(),
      )
      if (name !== 'anthropic-client') expect(prompts[0]!.authorization).to.equal('Bearer a-key')
      await stop()
    })
  }

  it('own-format remembers in its own words, tells failures inside a 200 and takes commands for no turns', async () => {
    const port = await start('own-format')
    const say = (message: string): Promise<string> =>
      call(port, 'POST', '/chat', { conversation: 'c-1', message })
    expect(await say('hi'))
      .to.contain('{"token":"answer 1"}')
      .and.to.contain('{"done":true}')
    expect(await say('overload')).to.contain('{"failed":"400 Overloaded."}')
    expect(await say('/help')).to.contain('Ask me anything.')
    expect(await say('and now?')).to.contain('answer 3')
    expect(prompts.at(-1)!.messages.map(({ role, content }) => `${role} ${String(content)}`)).to.deep.equal([
      'system You are kind.',
      'user hi',
      'assistant answer 1',
      'user and now?',
    ])
    const nothing = await fetch(`http://127.0.0.1:${port}/chat`, { method: 'POST' })
    expect([nothing.status, await nothing.text()]).to.deep.equal([400, '{"failed":"Nothing was asked."}'])
    await stop()
  })

  it('websocket remembers with the core alone, and says what is wrong', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${await start('websocket')}`, {
      headers: { 'x-user': 'ann' },
    })
    const lines: Record<string, unknown>[] = []
    socket.on('message', (data: Buffer) => lines.push(JSON.parse(data.toString()) as Record<string, unknown>))
    await once(socket, 'open')
    const ask = async (session_id: unknown, question: string): Promise<string> => {
      lines.length = 0
      socket.send(JSON.stringify({ session_id, question }))
      while (!lines.some((line) => 'done' in line || 'error' in line)) await once(socket, 'message')
      return lines.map(({ token }) => (typeof token === 'string' ? token : '')).join('')
    }
    expect(await ask('new', 'one')).to.equal('answer 1')
    const { session_id } = lines.at(-1)!
    expect(await ask(session_id, 'two')).to.equal('answer 2')
    expect(lines.at(-1)).to.deep.equal({ done: true, session_id })
    expect(prompts[1]!.messages).to.have.length(3)
    await ask('nobody', 'three')
    expect(lines).to.have.length(1)
    expect(lines[0]!.error).to.contain('session')
    await stop()
  })
})
