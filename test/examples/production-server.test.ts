import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer } from 'node:http'

import { expect } from 'chai'
import express from 'express'
import { Redis } from 'ioredis'
import jwt from 'jsonwebtoken'

import { jsonAnswer, streamAnswer } from '../middleware/answers.js'
import { listen, type RunningHost } from '../middleware/framework.js'
import { freshMigratedDatabase } from '../services/core.js'
import { startRedisCluster, type RedisCluster } from '../services/redis.js'

const repository = path.resolve(import.meta.dirname, '../..')
const secret = 'a secret of the test that is long enough'

interface LogLine {
  readonly msg?: string
  readonly address?: { readonly port: number }
}

describe('examples/production-server', function () {
  this.timeout(60_000)
  let provider: RunningHost
  let prompts: { messages: unknown[] }[] = []
  let database: { url: string; drop(): Promise<void> }
  let redis: RedisCluster
  let child: ChildProcess | undefined
  before(async () => {
    database = await freshMigratedDatabase()
    redis = await startRedisCluster()
    prompts = []
    const app = express().use(express.json())
    app.post('/v1/chat/completions', (req, res) => {
      const body = req.body as { stream?: boolean; messages: unknown[] }
      prompts.push(body)
      const { type, text } = (body.stream === true ? streamAnswer : jsonAnswer)(`answer ${prompts.length}`)
      res.type(type).send(text)
    })
    provider = await listen(createServer(app))
  })
  afterEach(async () => {
    if (child?.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  after(async () => {
    await provider.stop()
    await redis.stop()
    await database.drop()
  })

  it('remembers across JSON and streams, logs in JSON and stops by itself', async () => {
    child = spawn(
      process.execPath,
      ['--require', 'tsx/cjs', '--eval', "require('./examples/production-server/server.cts')"],
      {
        cwd: repository,
        env: {
          PATH: process.env.PATH,
          NODE_ENV: 'production',
          PORT: '0',
          DATABASE_URL: database.url,
          REDIS_NODES: redis.addresses.map(({ host, port }) => `${host}:${port}`).join(','),
          JWT_SECRET: secret,
          UPSTREAM_URL: `${provider.url}/v1`,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const exited = once(child, 'exit')
    const port = await portOf(child.stdout!)
    const ask = async (path: string, body: object): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${jwt.sign({ sub: 'ann' }, secret, { expiresIn: '1h' })}`,
        },
        body: JSON.stringify(body),
      })
    const created = await ask('/chat/sessions', {})
    expect(created.status).to.equal(201)
    const { session_id } = (await created.json()) as { session_id: string }
    for (const stream of [false, true, false]) {
      const messages = [{ role: 'user', content: 'hi' }]
      const response = await ask('/v1/chat/completions', { session_id, model: 'm', messages, stream })
      expect(await response.text()).to.contain(`answer ${prompts.length}`)
      expect(response.headers.get('x-content-type-options')).to.equal('nosniff')
    }
    expect(prompts.map(({ messages }) => messages.length)).to.deep.equal([1, 3, 5])
    while (!(await holdsWindow(redis))) await sleep(50)
    child.kill('SIGTERM')
    expect(await exited).to.deep.equal([0, null])
  })
})

/** Whether a master holds the window of the session, which is written behind an answer. */
async function holdsWindow({ addresses }: RedisCluster): Promise<boolean> {
  const masters = addresses.slice(0, 3).map((address) => new Redis(address))
  const counts = await Promise.all(masters.map((master) => master.dbsize()))
  for (const master of masters) master.disconnect()
  return counts.some((count) => count > 0)
}

/** The port in the first line of its log that names one; every line is JSON. */
async function portOf(stdout: NodeJS.ReadableStream): Promise<number> {
  const lines = createInterface({ input: stdout })
  for await (const line of lines) {
    const { address } = JSON.parse(line) as LogLine
    if (address) {
      stdout.resume()
      return address.port
    }
  }
  throw new Error('It ended without listening.')
}
