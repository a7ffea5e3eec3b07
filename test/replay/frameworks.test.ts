import { createServer } from 'node:http'
import { Readable } from 'node:stream'

import { bodyParser } from '@koa/bodyparser'
import express from 'express'
import express4 from 'express4'
import Koa from 'koa'
import Koa2 from 'koa2'

import type { Turnlog } from '../../lib/index.js'
import * as overExpress from '../../middleware/express.js'
import * as overKoa from '../../middleware/koa.js'
import { serverOf } from '../koa-server.js'
import { describeOver } from '../matrix.js'
import { listen, type RunningHost } from '../middleware/framework.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { recordedConversations, type Conversation } from './conversations.js'
import { play } from './play.js'
import { recordedProvider } from './recorded-answers.js'

/** The reference servers play them on every store, on the newest versions: replay.test.ts. Here is every version of the frameworks. */
type Provider = ReturnType<typeof recordedProvider>
const userId = (): string => 'ann'

function expressHost(create: typeof express, turnlog: Turnlog, provider: Provider): Promise<RunningHost> {
  const app = create()
  app.use(create.json({ limit: '10mb' }), overExpress.chatHistory(turnlog, { userId }))
  app.post('/v1/chat/completions', (req, res) => {
    const answer = provider(req.body)
    res.status(answer.status)
    if ('json' in answer) res.json(answer.json)
    else Readable.from(answer.stream).pipe(res.type('text/event-stream'))
  })
  return listen(createServer(app))
}

function koaHost(Application: typeof Koa, turnlog: Turnlog, provider: Provider): Promise<RunningHost> {
  const app = new Application()
  app.use(bodyParser({ jsonLimit: '10mb' })).use(overKoa.chatHistory(turnlog, { userId }))
  app.use((ctx) => {
    const answer = provider(ctx.request.body)
    ctx.status = answer.status
    if ('stream' in answer) ctx.type = 'text/event-stream'
    ctx.body = 'json' in answer ? answer.json : Readable.from(answer.stream)
  })
  return listen(serverOf(app))
}

type Start = (turnlog: Turnlog, provider: Provider) => Promise<RunningHost>
const hosts: Readonly<Record<string, Start>> = {
  'Express 5': (...given) => expressHost(express, ...given),
  'Express 4': (...given) => expressHost(express4 as unknown as typeof express, ...given),
  'Koa 3': (...given) => koaHost(Koa, ...given),
  'Koa 2': (...given) => koaHost(Koa2 as unknown as typeof Koa, ...given),
}

for (const [name, start] of Object.entries(hosts)) {
  describeOver(name, 'replay of the recorded conversations', () => {
    let recorded: Conversation[]
    let core: FreshCore | undefined
    let host: RunningHost | undefined
    before(async () => {
      recorded = recordedConversations()
      core = await freshCore()
      host = await start(core.turnlog, recordedProvider(recorded))
    })
    after(async () => {
      await host?.stop()
      await core?.end()
    })
    for (const stream of [false, true]) {
      it(`are sent and listed as they were recorded, as ${stream ? 'streams' : 'JSON'}`, async () => {
        const options = { stream, limit: 1000 }
        await Promise.all(recorded.map((each) => play({ url: host!.url, token: 'none' }, each, options)))
      }).timeout(60_000)
    }
  })
}
