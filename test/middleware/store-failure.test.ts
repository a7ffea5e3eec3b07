import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import createKnex, { type Knex } from 'knex'
import OpenAI, { APIError } from 'openai'

import { createTurnlog, type Turnlog, type TurnlogOptions } from '../../lib/index.js'
import { anthropicMessages } from '../../lib/wire/anthropic.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { startProxy, type Proxy } from '../services/proxy.js'
import { chunk, doneEvent, jsonAnswer, streamAnswer, type ProviderAnswer } from './answers.js'
import type { Framework, HostSetup, RunningHost } from './framework.js'
import { frameworks } from './frameworks.js'
import { rawPost } from './raw.js'

const headers = { 'x-user': 'ann', 'content-type': 'application/json' }

/** What breaks between a server and its Postgres, right before an answer is committed. */
const troubles = {
  'cuts every connection': (proxy: Proxy) => proxy.refuse(true),
  'swallows everything': (proxy: Proxy) => proxy.swallow(true),
} as const

describe('an answer that cannot be committed', function () {
  this.timeout(60_000)
  let core: FreshCore
  let admin: Knex
  let proxy: Proxy
  let turnlog: Turnlog
  let host: RunningHost | undefined
  let faults: unknown[]
  before(async () => {
    core = await freshCore()
    admin = createKnex({ client: 'pg', connection: core.url, pool: { min: 0, max: 1 } })
    proxy = await startProxy(core.url)
  })
  afterEach(async () => {
    heal()
    await host?.stop()
    host = undefined
    await turnlog.close({ drainMs: 0 })
  })
  after(async () => {
    await proxy.stop()
    await admin.destroy()
    await core.end()
  })

  const heal = (): void => {
    proxy.refuse(false)
    proxy.swallow(false)
  }
  const start = (options: TurnlogOptions, setup: Omit<HostSetup, 'turnlog'>): Promise<void> =>
    startOver(frameworks[0]!, options, setup)
  const startOver = async (
    framework: Framework,
    options: TurnlogOptions,
    setup: Omit<HostSetup, 'turnlog'>,
  ): Promise<void> => {
    faults = []
    turnlog = createTurnlog({ database: proxy.url, onFault: (error) => faults.push(error), ...options })
    host = await framework.start({ ...setup, turnlog })
  }
  /** A host whose network breaks before its answer ends, as long as `broken` says so. */
  const breaking = (said: ProviderAnswer, trouble: (proxy: Proxy) => void = (each) => each.refuse(true)) => {
    const state = { broken: true, prompts: [] as unknown[] }
    const provider: HostSetup['provider'] = (body) => {
      state.prompts.push(body['messages'])
      if (state.broken) trouble(proxy)
      return said
    }
    return { state, provider }
  }
  const newSession = async (): Promise<string> => (await core.turnlog.sessions.create({ userId: 'ann' })).id
  const bodyFor = (session_id: string, content: string, more: object = {}) => ({
    session_id,
    model: 'm',
    messages: [{ role: 'user' as const, content }],
    ...more,
  })
  const ask = (session: string, content: string, way = 'end', more: object = {}): Promise<Response> =>
    fetch(`${host!.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...headers, 'x-way': way },
      body: JSON.stringify(bodyFor(session, content, more)),
    })
  /** As another process sees it, past the proxy. */
  const said = async (session: string): Promise<string[]> => {
    const page = await core.turnlog.messages.list({ userId: 'ann', sessionId: session })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }

  describe("with onStoreFailure 'deliver'", () => {
    for (const [name, trouble] of Object.entries(troubles)) {
      it(`reaches the client as a stream, marked, and is in the next prompt when the network ${name}`, async () => {
        const session = await newSession()
        const { state, provider } = breaking(streamAnswer('paid', ' for'), trouble)
        await start({}, { provider })
        const text = await (await ask(session, 'q', 'writes')).text()
        const marked = `: turnlog: answer deferred, not stored\n${doneEvent}`
        expect(text).to.equal(streamAnswer('paid', ' for').text.replace(doneEvent, marked))
        expect(await said(session)).to.deep.equal(['open user: q'])
        heal()
        state.broken = false
        const next = await ask(session, 'next')
        await next.text()
        expect(state.prompts[1]).to.deep.equal([
          { role: 'user', content: 'q' },
          { role: 'assistant', content: 'paid for' },
          { role: 'user', content: 'next' },
        ])
        expect((await said(session)).slice(0, 2)).to.deep.equal(['done user: q', 'done assistant: paid for'])
      })
    }

    it('reaches the client as JSON and says in a header that it is deferred', async () => {
      const session = await newSession()
      await start({}, breaking(jsonAnswer('paid for')))
      const response = await ask(session, 'q', 'json')
      expect(response.headers.get('x-history-stored')).to.equal('deferred')
      expect(await response.text()).to.equal(jsonAnswer('paid for').text)
    })

    it('is stored once, and no trouble, when only the acknowledgement is lost', async () => {
      const session = await newSession()
      await start(
        {},
        breaking(jsonAnswer('once'), (each) => each.loseNextAnswer()),
      )
      const response = await ask(session, 'q', 'json')
      await response.text()
      expect(response.headers.get('x-history-stored')).to.equal('true')
      expect(await said(session)).to.deep.equal(['done user: q', 'done assistant: once'])
      expect(faults).to.deep.equal([])
    })

    it('is tried again by itself, without anybody asking', async () => {
      const session = await newSession()
      await start({}, breaking(jsonAnswer('later')))
      await (await ask(session, 'q')).text()
      heal()
      while ((await said(session)).length < 2) await sleep(20)
      expect(await said(session)).to.deep.equal(['done user: q', 'done assistant: later'])
    })

    it('is not overtaken: a begin of its session is 503 while the store is away', async () => {
      const session = await newSession()
      const { state, provider } = breaking(jsonAnswer('first'))
      await start({}, { provider })
      await (await ask(session, 'q')).text()
      const refused = await ask(session, 'next')
      expect(refused.status).to.equal(503)
      expect(refused.headers.get('retry-after')).to.equal('1')
      expect(state.prompts).to.have.length(1)
    })

    it('is not lost when its lease ran out and another process closed the turn', async () => {
      const session = await newSession()
      await start({}, breaking(jsonAnswer('after all')))
      await (await ask(session, 'q')).text()
      await admin('chat_turns')
        .where({ session_id: session })
        .update({ lease_until: new Date(0) })
      const other = await core.turnlog.begin({ userId: 'ann', sessionId: session, question: 'other' })
      expect(other.messages.map(({ content }) => content)).to.deep.equal(['q', 'other'])
      await other.complete('yes')
      heal()
      while ((await said(session)).length < 4) await sleep(20)
      expect(await said(session)).to.deep.equal([
        'done user: q',
        'done assistant: after all',
        'done user: other',
        'done assistant: yes',
      ])
    })

    it('is stored at close(), and told to onFault when the store is still away then', async () => {
      const [kept, lost] = [await newSession(), await newSession()]
      await start({}, breaking(jsonAnswer('at the end')))
      await (await ask(kept, 'q')).text()
      heal()
      await turnlog.close({ drainMs: 0 })
      expect(await said(kept)).to.deep.equal(['done user: q', 'done assistant: at the end'])
      await host!.stop()
      await start({}, breaking(jsonAnswer('too late')))
      await (await ask(lost, 'q')).text()
      const before = faults.length
      await turnlog.close({ drainMs: 0 })
      expect(faults.length).to.be.greaterThan(before)
      expect(await said(lost)).to.deep.equal(['open user: q'])
    })

    it('waits in a queue of maxDeferredAnswers; one more is lost, and says so', async () => {
      const sessions = [await newSession(), await newSession()]
      await start({ maxDeferredAnswers: 1 }, { provider: () => jsonAnswer('') })
      const turns = await Promise.all(
        sessions.map((sessionId) => turnlog.begin({ userId: 'ann', sessionId, question: 'q' })),
      )
      proxy.refuse(true)
      const stored = [await turns[0]!.complete('a'), await turns[1]!.complete('b')]
      expect(stored).to.deep.equal(['deferred', 'lost'])
    })

    it('waits in a queue of maxDeferredBytes; one byte more is lost, and what was stored makes room', async () => {
      const sessions = await Promise.all(Array.from({ length: 4 }, newSession))
      const answer = '[{"message":{"role":"assistant","content":"é"}}]'
      await start({ maxDeferredBytes: 2 * Buffer.byteLength(answer) }, { provider: () => jsonAnswer('') })
      const turns = await Promise.all(
        sessions.map((sessionId) => turnlog.begin({ userId: 'ann', sessionId, question: 'q' })),
      )
      proxy.refuse(true)
      expect(await turns[0]!.complete('é')).to.equal('deferred')
      const stored = await Promise.all([turns[1]!.complete('éa'), turns[2]!.complete('é')])
      expect(stored).to.deep.equal(['lost', 'deferred'])
      heal()
      const session = { userId: 'ann', sessionId: sessions[0]! }
      await (await turnlog.begin({ ...session, question: 'next' })).complete('next')
      proxy.refuse(true)
      expect(await turns[3]!.complete('é')).to.equal('deferred')
    })
  })

  // One version of each framework: what differs between versions is tapped in their own suite.
  for (const framework of frameworks.filter(({ name }) => /Express 5|Koa 3/.test(name))) {
    describe(`with onStoreFailure 'fail', over ${framework.name}`, () => withholds(framework))
  }

  function withholds(framework: Framework): void {
    const start = (options: TurnlogOptions, setup: Omit<HostSetup, 'turnlog'>): Promise<void> =>
      startOver(framework, options, setup)
    const fail = { onStoreFailure: 'fail' } as const
    const message = 'The answer could not be stored, so it is withheld. Try again shortly.'

    for (const way of ['writes', 'pipe', 'pipeline', 'end']) {
      it(`a stream ends with an error event and without its terminal event (${way})`, async () => {
        const session = await newSession()
        await start(fail, breaking(streamAnswer('not', ' kept')))
        const text = await (await ask(session, 'q', way)).text()
        const error = { message, type: 'server_error', param: null, code: 'history_unavailable' }
        expect(text).to.equal(
          streamAnswer('not', ' kept').text.replace(doneEvent, `data: ${JSON.stringify({ error })}\n\n`),
        )
      })
    }

    it('a stream of Anthropic’s ends with an error event of its shape', async () => {
      const event = (type: string, more: object = {}): string =>
        `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
      const before = [
        event('message_start', { message: { id: 'm1', role: 'assistant', content: [], model: 'm' } }),
        event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
        event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'hi' } }),
        event('content_block_stop', { index: 0 }),
        event('message_delta', { delta: { stop_reason: 'end_turn' } }),
      ].join('')
      const said = { status: 200, type: 'text/event-stream', text: before + event('message_stop') }
      await start(fail, { ...breaking(said), options: { format: anthropicMessages } })
      const text = await (await ask(await newSession(), 'q', 'writes', { max_tokens: 9 })).text()
      expect(text).to.equal(before + event('error', { error: { type: 'api_error', message } }))
    })

    it('makes the official client throw', async () => {
      const session = await newSession()
      await start(fail, breaking(streamAnswer('not', ' kept')))
      const client = new OpenAI({
        baseURL: `${host!.url}/v1`,
        apiKey: 'none',
        defaultHeaders: { ...headers, 'x-way': 'writes' },
        maxRetries: 0,
        logLevel: 'off',
      })
      const stream = await client.chat.completions.create({ ...bodyFor(session, 'q'), stream: true })
      let thrown: unknown
      try {
        for await (const _ of stream);
      } catch (error) {
        thrown = error
      }
      expect(thrown).to.be.instanceOf(APIError).with.property('code', 'history_unavailable')
    })

    for (const way of ['json', 'send']) {
      it(`JSON becomes 503 (${way})`, async () => {
        const session = await newSession()
        await start(fail, breaking(jsonAnswer('not kept')))
        const response = await ask(session, 'q', way)
        expect(response.status).to.equal(503)
        expect(response.headers.get('retry-after')).to.equal('1')
        expect(response.headers.get('x-history-stored')).to.equal('false')
        const { error } = (await response.json()) as { error: object }
        expect(error).to.deep.equal({
          message,
          type: 'server_error',
          param: null,
          code: 'history_unavailable',
        })
      })
    }

    it('JSON whose head is out already is cut off before its end', async () => {
      const session = await newSession()
      await start(fail, breaking(jsonAnswer('not kept')))
      const body = JSON.stringify(bodyFor(session, 'q'))
      const sent = await rawPost(host!.url, '/v1/chat/completions', { ...headers, 'x-way': 'counted' }, body)
        .ended
      expect(sent).to.contain('HTTP/1.1 200')
      expect(sent).to.contain(jsonAnswer('not kept').text.slice(0, -1))
      expect(sent).to.not.contain(jsonAnswer('not kept').text)
    })

    it('a provider’s refusal stays what it is', async () => {
      const refused = { status: 429, type: 'application/json', text: '{"error":{"message":"slow down"}}' }
      await start(fail, breaking(refused))
      const response = await ask(await newSession(), 'q', 'send')
      expect([response.status, await response.text()]).to.deep.equal([429, refused.text])
    })

    it('a turn without a framework throws before its last chunk', async () => {
      await start(fail, { provider: () => jsonAnswer('') })
      const turn = await turnlog.begin({ userId: 'ann', sessionId: await newSession(), question: 'q' })
      async function* provider(): AsyncGenerator<string> {
        yield chunk({ content: 'a' })
        proxy.refuse(true)
        yield doneEvent
      }
      const seen: string[] = []
      let thrown: unknown
      try {
        for await (const part of turn.record(provider())) seen.push(part)
      } catch (error) {
        thrown = error
      }
      expect(seen).to.deep.equal([chunk({ content: 'a' })])
      expect(thrown).to.include({ code: 'history_unavailable', status: 503 })
    })
  }
})
