import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

import { expect } from 'chai'
import express from 'express'

import type { Message, Turnlog } from '../../lib/index.js'
import { remember } from '../../middleware/express.js'
import { freshCore, type FreshCore } from '../services/core.js'
import type { Service } from '../services/daemon.js'
import { startRedis } from '../services/redis.js'
import { until } from './until.js'

const userId = 'ada'
const clients = 6
const limit = 6

/** Tells with each answer what its prompt was. */
function hostOf(turnlog: Turnlog): Server {
  const app = express()
  app.use(express.json())
  app.post('/v1/chat/completions', remember(turnlog, { userId: () => userId }), (req, res) => {
    const { messages } = req.body as { messages: Message[] }
    const content = `answer to ${String(messages.at(-1)?.content)}`
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
    res.json({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1,
      model: 'm',
      choices,
      heard: messages,
    })
  })
  return createServer(app)
}

/** Users who talk without a pause, each in a session; every prompt must hold what was said before. */
class Load {
  readonly sources: (string | null)[] = []
  turns = 0
  readonly #over = new AbortController()
  readonly #running: Promise<unknown>

  constructor(
    private readonly url: string,
    sessionIds: readonly string[],
  ) {
    this.#running = Promise.all(sessionIds.map((id, client) => this.#talk(id, client)))
    this.#running.catch(() => {})
  }

  /** Wait while they talk; rejects with the first request that fails. */
  async until(check: () => boolean): Promise<void> {
    await Promise.race([until(() => check() || this.#over.signal.aborted), this.#running])
  }

  async end(): Promise<void> {
    this.#over.abort()
    await this.#running
  }

  async #talk(sessionId: string, client: number): Promise<void> {
    const said: Message[] = []
    for (let n = 0; !this.#over.signal.aborted; n++) {
      const question = { role: 'user', content: `question ${n} of ${client}` }
      const response = await fetch(`${this.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', session_id: sessionId, messages: [question] }),
      })
      const text = await response.text()
      expect(response.status, text).to.equal(200)
      expect((JSON.parse(text) as { heard: unknown }).heard).to.deep.equal([...said.slice(-limit), question])
      said.push(question, { role: 'assistant', content: `answer to ${question.content}` })
      this.sources[client] = response.headers.get('x-history-source')
      this.turns++
      await delay(5)
    }
  }
}

describe('Redis lost under a host’s load', function () {
  this.timeout(60_000)
  let redis: Service
  let core: FreshCore
  let server: Server
  let load: Load
  let told: string[]

  beforeEach(async () => {
    redis = await startRedis()
    told = []
    // No window in memory: Redis alone is asked.
    core = await freshCore({
      redis: redis.url,
      maxMemoryBytes: 0,
      maxHistoryMessages: limit,
      onCacheState: ({ state }) => void told.push(state),
    })
    server = hostOf(core.turnlog).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const sessions = await Promise.all(
      Array.from({ length: clients }, () => core.turnlog.sessions.create({ userId })),
    )
    const { port } = server.address() as AddressInfo
    load = new Load(
      `http://127.0.0.1:${port}`,
      sessions.map(({ id }) => id),
    )
  })
  afterEach(async () => {
    await load.end().catch(() => {})
    server.closeAllConnections()
    server.close()
    await core.end()
    await redis.stop()
  })

  const outages: Record<string, { down: () => unknown; up: () => unknown }> = {
    killed: { down: () => redis.crash(), up: () => redis.restart() },
    'frozen by SIGSTOP': {
      down: () => process.kill(redis.pid, 'SIGSTOP'),
      up: () => process.kill(redis.pid, 'SIGCONT'),
    },
  }
  const everywhere = (source: string) =>
    load.until(() => load.sources.filter((it) => it === source).length === clients)

  for (const [name, { down, up }] of Object.entries(outages))
    it(`${name}, it fails no request, changes no prompt, and is used again when it is back`, async () => {
      await everywhere('redis')
      await down()
      await load.until(() => told.at(-1) === 'unavailable')
      await everywhere('postgres')
      const before = load.turns
      await load.until(() => load.turns > before + 10 * clients)
      await up()
      await load.until(() => told.at(-1) === 'available')
      await everywhere('redis')
      await load.end()
      // One word for each change. A stall of the machine may add a pair; hundreds of requests do not.
      expect(told.slice(0, 2)).to.deep.equal(['unavailable', 'available'])
      expect(told.length).to.be.below(7)
    })
})
