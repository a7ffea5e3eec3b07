import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { freshMigratedDatabase } from '../services/core.js'
import {
  generatedConversations,
  recordedConversations,
  writeConversations,
  type Conversation,
} from './conversations.js'
import { startHost, type Host } from './host.js'
import { play, type PlayOptions } from './play.js'

const expressServer = 'examples/express-server/server.ts'
const koaServer = 'examples/koa-server/server.ts'

/** A window that holds every recorded conversation. */
const everything = 1000

describe('the recorded conversations, through the reference server', function () {
  this.timeout(240_000)
  const directory = mkdtempSync(path.join(tmpdir(), 'turnlog-replay-'))
  const file = path.join(directory, 'conversations.jsonl')
  let recorded: Conversation[]
  const generated = generatedConversations(12, 7)
  let postgres: undefined | { url: string; drop(): Promise<void> }

  before(async () => {
    recorded = recordedConversations()
    writeConversations(file, [...recorded, ...generated])
    postgres = await freshMigratedDatabase()
  })
  after(async () => {
    await postgres?.drop()
    rmSync(directory, { recursive: true })
  })

  const withHost = async (
    database: Record<string, string>,
    work: (host: Host) => Promise<void>,
    server = expressServer,
  ): Promise<void> => {
    const environment = {
      ...database,
      CONVERSATIONS: file,
      UPSTREAM_URL: 'http://provider.test/v1',
      UPSTREAM_API_KEY: 'none',
      JWT_SECRET: 'a secret of the test that is long enough',
    }
    const host = await startHost(server, environment, ['test/replay/provider.ts'])
    try {
      await work(host)
    } finally {
      await host.stop()
    }
  }
  const onPostgres = (work: (host: Host) => Promise<void>) => withHost({ DATABASE_URL: postgres!.url }, work)
  const onPglite = (work: (host: Host) => Promise<void>) =>
    withHost({ TURNLOG_DIR: path.join(directory, 'pglite') }, work)

  for (const [name, over] of [
    ['PGlite', onPglite],
    ['Postgres', onPostgres],
  ] as const) {
    for (const stream of [false, true]) {
      it(`are sent and listed as they were recorded: ${name}, ${stream ? 'streams' : 'JSON'}`, () =>
        over((host) => playAll(host, recorded, () => ({ stream, limit: everything }))))
    }
  }

  it('pass the reference server in Koa likewise, every other one as a stream', () =>
    withHost(
      { DATABASE_URL: postgres!.url },
      (host) => playAll(host, recorded, (index) => ({ stream: index % 2 === 0, limit: everything - 2 })),
      koaServer,
    ))

  it('go on in another process: the second half of each on Postgres', async () => {
    const options = { stream: true, limit: everything - 1 }
    await onPostgres((host) => playAll(host, recorded, () => ({ ...options, part: 'first half' })))
    await onPostgres((host) => playAll(host, recorded, () => ({ ...options, part: 'second half' })))
  })

  it('are cut to whole exchanges at limits from 1 to 50', () =>
    onPostgres((host) =>
      playAll(host, recorded, (index) => ({ stream: index % 2 === 0, limit: 1 + (index % 50) })),
    ))

  it('and generated ones with parallel calls and long loops are cut likewise', () =>
    onPostgres(async (host) => {
      for (const limit of [1, 2, 7, 20, 50, everything]) {
        await playAll(host, generated, (index) => ({ stream: index % 2 === 1, limit }))
      }
    }))
})

/** Several at once, each in its own order. */
async function playAll(
  host: Host,
  conversations: readonly Conversation[],
  optionsOf: (index: number) => PlayOptions,
): Promise<void> {
  const waiting = [...conversations.entries()]
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift())
      await play(host, next[1], optionsOf(next[0]))
  }
  await Promise.all([worker(), worker(), worker(), worker()])
}
