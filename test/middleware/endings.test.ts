import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'

import type { Turn, TurnlogOptions } from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { chunk, doneEvent, jsonAnswer, streamAnswer } from './answers.js'
import type { HostSetup, RunningHost } from './framework.js'
import { frameworks } from './frameworks.js'
import { rawPost } from './raw.js'

const headers = { 'x-user': 'ann', 'content-type': 'application/json', 'x-way': 'writes' }

/** Endings that a core's options decide, over the first framework: how they are tapped is each framework's own suite. */
describe('endings over HTTP', () => {
  let core: FreshCore | undefined
  let host: RunningHost | undefined
  let session: string
  afterEach(async () => {
    await host?.stop()
    await core?.end()
    host = undefined
    core = undefined
  })

  const start = async (
    options: TurnlogOptions,
    setup: Omit<HostSetup, 'turnlog'>,
    framework = frameworks[0]!,
  ): Promise<void> => {
    core = await freshCore(options)
    session = (await core.turnlog.sessions.create({ userId: 'ann' })).id
    host = await framework.start({ ...setup, turnlog: core.turnlog })
  }
  const ask = (content: string, more: object = {}): Promise<Response> =>
    fetch(`${host!.url}/v1/chat/completions`, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        session_id: session,
        model: 'm',
        messages: [{ role: 'user', content }],
        ...more,
      }),
    })
  const said = async (): Promise<string[]> => {
    const page = await core!.turnlog.messages.list({ userId: 'ann', sessionId: session })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }

  it('a turn that takes longer than it may has failed, and its signal says so', async () => {
    let reason: unknown
    const sse = { 'content-type': 'text/event-stream' }
    await start(
      { turnTimeoutSeconds: 1 },
      {
        provider: () => jsonAnswer(''),
        handler: async (_body, res, turn) => {
          res.writeHead(200, sse)
          res.write(chunk({ role: 'assistant', content: 'slowly' }))
          await once(turn!.signal, 'abort')
          reason = turn!.signal.reason
          res.end(chunk({}, 'stop') + doneEvent)
        },
      },
    )
    await (await ask('q')).text()
    expect(reason).to.include({ code: 'turn_timeout', status: 504 })
    expect(await said()).to.deep.equal(['failed user: q'])
  })

  it('an answer at its cap is stored; one byte more passes whole, and its turn has failed', async () => {
    const { text } = streamAnswer('0123456789')
    const answers = [streamAnswer('0123456789'), streamAnswer('0123456789a')]
    await start({ maxAnswerBytes: text.length }, { provider: () => answers.shift()! })
    expect(await (await ask('fits')).text()).to.equal(text)
    expect(await (await ask('does not')).text()).to.equal(streamAnswer('0123456789a').text)
    expect(await said()).to.deep.equal([
      'done user: fits',
      'done assistant: 0123456789',
      'failed user: does not',
    ])
  })

  it('a JSON answer at its cap is stored; one byte more passes whole, and its turn has failed', async () => {
    const { text } = jsonAnswer('0123456789')
    const answers = [jsonAnswer('0123456789'), jsonAnswer('0123456789a')]
    await start({ maxAnswerBytes: text.length }, { provider: () => answers.shift()! })
    expect(await (await ask('fits')).text()).to.equal(text)
    expect(await (await ask('does not')).text()).to.equal(jsonAnswer('0123456789a').text)
    expect((await said()).at(-1)).to.equal('failed user: does not')
  })

  it('an event at its cap is read; one byte more passes, and its turn has failed', async () => {
    const longest = chunk({ content: '0123456789' }).length
    const answers = ['0123456789', '0123456789a'].map((content) => ({
      status: 200,
      type: 'text/event-stream',
      text: chunk({ content }) + chunk({}, 'stop') + doneEvent,
    }))
    const texts = answers.map(({ text }) => text)
    await start({ maxEventBytes: longest }, { provider: () => answers.shift()! })
    expect(await (await ask('fits')).text()).to.equal(texts[0])
    expect(await (await ask('does not')).text()).to.equal(texts[1])
    const [first, , last] = await said()
    expect([first, last]).to.deep.equal(['done user: fits', 'failed user: does not'])
  })

  it('a stream that cannot be read passes, and its turn has failed', async () => {
    const text = `${chunk({ content: 'so far' })}data: {"choices": [\n\n${doneEvent}`
    await start({}, { provider: () => ({ status: 200, type: 'text/event-stream', text }) })
    expect(await (await ask('q')).text()).to.equal(text)
    expect(await said()).to.deep.equal(['failed user: q'])
  })

  it('a handler that calls fail() answers what it likes, and the turn has failed', async () => {
    await start(
      {},
      {
        provider: async (_body, turn) => {
          await turn!.fail(new Error('not for the history'))
          return jsonAnswer('sorry')
        },
      },
    )
    expect(await (await ask('q')).text()).to.equal(jsonAnswer('sorry').text)
    expect(await said()).to.deep.equal(['failed user: q'])
  })

  const failThenAnswer = (): { provider: HostSetup['provider']; prompts: unknown[] } => {
    const prompts: unknown[] = []
    const provider = async (body: Record<string, unknown>, turn: Turn | undefined) => {
      prompts.push(body['messages'])
      if (prompts.length === 1) await turn!.fail()
      return jsonAnswer('fine')
    }
    return { provider, prompts }
  }

  for (const framework of frameworks) {
    /** A client leaves while its turn waits for another one. */
    const leaveTheQueue = async (
      onDisconnect: 'abort' | 'finish',
    ): Promise<{ first: Turn; sent: unknown[] }> => {
      const sent: unknown[] = []
      const provider: HostSetup['provider'] = (body) => {
        sent.push(body['messages'])
        return jsonAnswer('an answer')
      }
      await start({ concurrency: 'enqueue' }, { provider, options: { onDisconnect } }, framework)
      const first = await core!.turnlog.begin({ userId: 'ann', sessionId: session, question: 'one' })
      const body = { session_id: session, model: 'm', messages: [{ role: 'user', content: 'two' }] }
      const exchange = rawPost(host!.url, '/v1/chat/completions', headers, JSON.stringify(body))
      while ((await said()).length < 2) await sleep(10)
      exchange.socket.destroy()
      await exchange.ended
      return { first, sent }
    }

    it(`a client that leaves the queue gives up its place, over ${framework.name}`, async () => {
      const { first, sent } = await leaveTheQueue('abort')
      while ((await said()).includes('open user: two')) await sleep(10)
      expect(await said()).to.deep.equal(['open user: one', 'failed user: two'])
      await first.complete('1')
      expect((await ask('three')).status).to.equal(200)
      const one = { role: 'user', content: 'one' }
      expect(sent).to.deep.equal([
        [one, { role: 'assistant', content: '1' }, { role: 'user', content: 'three' }],
      ])
    })

    it(`and with onDisconnect 'finish' is asked for all the same, over ${framework.name}`, async () => {
      const { first } = await leaveTheQueue('finish')
      await first.complete('1')
      while (!(await said()).includes('done assistant: an answer')) await sleep(10)
      expect((await said())[2]).to.equal('done user: two')
    })
  }

  it('a failed question is listed and not injected', async () => {
    const { provider, prompts } = failThenAnswer()
    await start({}, { provider })
    for (const content of ['one', 'two']) await (await ask(content)).text()
    expect(prompts[1]).to.deep.equal([{ role: 'user', content: 'two' }])
    expect((await said())[0]).to.equal('failed user: one')
  })

  it('a failed question is injected with includeFailedQuestions, and still listed as failed', async () => {
    const { provider, prompts } = failThenAnswer()
    await start({ includeFailedQuestions: true }, { provider })
    for (const content of ['one', 'two', 'three']) await (await ask(content)).text()
    expect(prompts[2]).to.deep.equal([
      { role: 'user', content: 'one' },
      { role: 'user', content: 'two' },
      { role: 'assistant', content: 'fine', refusal: null },
      { role: 'user', content: 'three' },
    ])
    expect((await said())[0]).to.equal('failed user: one')
  })

  it('an interrupted answer is closed off in the next prompt: its words stay, its broken calls go', async () => {
    const prompts: unknown[] = []
    const half = [
      chunk({ role: 'assistant', content: 'Let me look' }),
      chunk({
        tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a' } }],
      }),
    ].join('')
    await start(
      {},
      {
        provider: (body) => {
          prompts.push(body['messages'])
          return prompts.length === 1
            ? { status: 200, type: 'text/event-stream', text: half }
            : jsonAnswer('fine')
        },
      },
    )
    await (await ask('one')).text()
    expect((await said())[1]).to.equal('interrupted assistant: Let me look')
    const second = await ask('two')
    expect(second.status).to.equal(200)
    await second.text()
    expect(prompts[1]).to.deep.equal([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'Let me look' },
      { role: 'user', content: 'two' },
    ])
    const turn = await core!.turnlog.turns.find({ userId: 'ann', sessionId: session, turn: 2 })
    expect(turn!.receipt!.repaired).to.deep.equal(['closed off the interrupted answer of turn 1'])
  })
})
