import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import OpenAI from 'openai'

import type { ListedMessage, Message, Turnlog } from '../../lib/index.js'
import { brokenStream, chunk, doneEvent, jsonAnswer, refusedAnswer, streamAnswer } from './answers.js'
import type { Framework, HostSetup, RunningHost } from './framework.js'
import { rawPost, withoutDate } from './raw.js'

const user = { 'x-user': 'ann', 'content-type': 'application/json' }

/** Everything that a completion endpoint promises, over one framework. `core` gives a running Turnlog for the suite. */
export function remembersAnswers(framework: Framework, core: () => Turnlog): void {
  let host: RunningHost | undefined
  const start = async (setup: HostSetup): Promise<string> => {
    host = await framework.start({ turnlog: core(), ...setup })
    return host.url
  }
  afterEach(async () => {
    await host?.stop()
    host = undefined
  })

  const newSession = async (): Promise<string> => (await core().sessions.create({ userId: 'ann' })).id
  const stored = async (sessionId: string): Promise<ListedMessage[]> => {
    const page = await core().messages.list({ userId: 'ann', sessionId })
    return [...page!.data]
  }
  const said = async (sessionId: string): Promise<string[]> =>
    (await stored(sessionId)).map(
      ({ status, message }) => `${status} ${message.role}: ${String(message.content)}`,
    )
  const ask = (url: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...user, ...headers },
      body: JSON.stringify(body),
    })
  const question = (session_id: string | undefined, content: string, more: object = {}): object => ({
    ...(session_id !== undefined && { session_id }),
    model: 'gpt-4o',
    messages: [{ role: 'user', content }],
    ...more,
  })

  describe('without session_id', () => {
    for (const way of framework.ways) {
      it(`leaves request and response byte for byte as they were (${way})`, async () => {
        const sent: unknown[] = []
        const provider: HostSetup['provider'] = (body, turn) => {
          sent.push(body)
          expect(turn).to.equal(undefined)
          return jsonAnswer('hello')
        }
        const exchange = async (setup: HostSetup): Promise<string> => {
          const alone = await framework.start(setup)
          const body = JSON.stringify(question(undefined, 'hi'))
          const response = await rawPost(alone.url, '/v1/chat/completions', { ...user, 'x-way': way }, body)
            .ended
          await alone.stop()
          return withoutDate(response)
        }
        const before = await exchange({ provider })
        const after = await exchange({ turnlog: core(), provider })
        expect(after).to.equal(before)
        expect(before).to.contain('hello')
        expect(sent[1]).to.deep.equal(sent[0])
      })
    }
  })

  describe('a JSON answer', () => {
    for (const way of framework.ways) {
      it(`passes unchanged and is remembered (${way})`, async () => {
        const session = await newSession()
        const prompts: unknown[] = []
        const url = await start({
          provider: (body) => {
            prompts.push(body)
            return jsonAnswer(`answer ${prompts.length} 😀`)
          },
        })
        const first = await ask(url, question(session, 'one'), { 'x-way': way })
        expect(await first.text()).to.equal(jsonAnswer('answer 1 😀').text)
        expect(first.headers.get('x-session-id')).to.equal(session)
        expect(first.headers.get('x-turn-id')).to.equal('1')
        expect(first.headers.get('x-history-injected')).to.equal('0')
        await (await ask(url, question(session, 'two'), { 'x-way': way })).text()
        expect(prompts[0]).to.deep.equal({ model: 'gpt-4o', messages: [{ role: 'user', content: 'one' }] })
        expect(prompts[1]).to.deep.equal({
          model: 'gpt-4o',
          messages: [
            { role: 'user', content: 'one' },
            { role: 'assistant', content: 'answer 1 😀', refusal: null },
            { role: 'user', content: 'two' },
          ],
        })
        expect(await said(session)).to.deep.equal([
          'done user: one',
          'done assistant: answer 1 😀',
          'done user: two',
          'done assistant: answer 2 😀',
        ])
      })
    }

    it('says how many tokens were sent, and refuses what the model cannot take before it is asked', async () => {
      const asked: unknown[] = []
      const url = await start({
        provider: (body) => {
          asked.push(body)
          return jsonAnswer('yes')
        },
      })
      const session = await newSession()
      const first = await ask(url, question(session, 'one'))
      await first.text()
      expect(Number(first.headers.get('x-history-tokens'))).to.be.greaterThan(5)
      const long = question(session, 'word '.repeat(9000), { model: 'gpt-4' })
      const refused = await ask(url, long)
      expect(refused.status).to.equal(400)
      expect(await refused.json()).to.have.nested.property('error.code', 'context_length_exceeded')
      expect(asked).to.have.length(1)
      expect((await said(session)).at(-1)).to.match(/^failed user/)
    })

    it('says that it is stored', async () => {
      const url = await start({ provider: () => jsonAnswer('yes') })
      const response = await ask(url, question(await newSession(), 'stored?'))
      expect(response.headers.get('x-history-stored')).to.equal('true')
      expect(response.headers.get('access-control-expose-headers')).to.contain('X-Turn-Id')
    })

    it('whose head the handler writes itself is stored, though its header cannot say so', async () => {
      const session = await newSession()
      const { text, type } = jsonAnswer('yes')
      const url = await start({
        provider: () => jsonAnswer(''),
        handler: (_body, res) => void res.writeHead(200, { 'content-type': type }).end(text),
      })
      const response = await ask(url, question(session, 'hi'))
      expect(await response.text()).to.equal(text)
      expect(response.headers.get('x-turn-id')).to.equal('1')
      expect(response.headers.get('x-history-stored')).to.equal(null)
      expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: yes'])
    })

    it('of 1 MB survives', async () => {
      const session = await newSession()
      const long = 'a😀\u0000"\\ '.repeat(100_000)
      const url = await start({ provider: () => jsonAnswer(long) })
      const body = (await (await ask(url, question(session, 'long'))).json()) as {
        choices: { message: Message }[]
      }
      expect(body.choices[0]!.message.content === long).to.equal(true)
      expect((await stored(session))[1]!.message.content === long).to.equal(true)
    })

    it('with several choices passes whole and stores the first', async () => {
      const session = await newSession()
      const choices = ['a', 'b', 'c'].map((content, index) => ({
        index,
        message: { role: 'assistant', content },
        finish_reason: 'stop',
      }))
      const url = await start({ provider: () => jsonAnswer('', { choices }) })
      const body = (await (await ask(url, question(session, 'n', { n: 3 }))).json()) as { choices: unknown[] }
      expect(body.choices).to.have.length(3)
      expect(await said(session)).to.deep.equal(['done user: n', 'done assistant: a'])
      const turn = await core().turns.find({ userId: 'ann', sessionId: session, turn: 1 })
      expect(turn!.receipt!.choicesNotStored).to.equal(2)
    })
  })

  describe('a streamed answer', () => {
    for (const way of framework.streamWays) {
      it(`passes unchanged and is remembered (${way})`, async () => {
        const session = await newSession()
        const url = await start({ provider: () => streamAnswer('Hé', 'llo ', '😀') })
        const response = await ask(url, question(session, 'hi', { stream: true }), { 'x-way': way })
        expect(await response.text()).to.equal(streamAnswer('Hé', 'llo ', '😀').text)
        expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: Héllo 😀'])
      })
    }

    for (const place of ['outside', 'inside'] as const) {
      it(`is remembered with compression() mounted ${place}`, async () => {
        const session = await newSession()
        const warnings: string[] = []
        const note = ({ name, message }: Error): void =>
          void (name === 'TurnlogWarning' && warnings.push(message))
        process.on('warning', note)
        const url = await start({ compression: place, provider: () => streamAnswer('squeezed', ' tight') })
        const response = await ask(url, question(session, 'hi', { stream: true }), { 'x-way': 'pipe' })
        expect(response.headers.get('content-encoding')).to.be.oneOf(['gzip', 'br', 'deflate'])
        expect(await response.text()).to.equal(streamAnswer('squeezed', ' tight').text)
        process.off('warning', note)
        expect(warnings).to.have.length(place === 'inside' ? 1 : 0)
        expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: squeezed tight'])
      })
    }

    it('keeps back-pressure: a full socket is told to the handler, and its drain', async () => {
      const session = await newSession()
      const piece = chunk({ content: 'x'.repeat(65_536) })
      let refused = 0
      const url = await start({
        provider: () => jsonAnswer(''),
        handler: async (_body, res) => {
          res.setHeader('content-type', 'text/event-stream')
          for (let index = 0; index < 100; index++) {
            if (res.write(piece)) continue
            refused++
            await once(res, 'drain')
          }
          res.end(chunk({}, 'stop') + doneEvent)
        },
      })
      const exchange = rawPost(
        url,
        '/v1/chat/completions',
        user,
        JSON.stringify(question(session, 'much', { stream: true })),
      )
      exchange.socket.pause()
      await sleep(100)
      expect(exchange.received().length).to.be.lessThan(piece.length)
      exchange.socket.resume()
      expect(await exchange.ended).to.contain('[DONE]')
      expect(refused).to.be.greaterThan(0)
      expect(String((await stored(session))[1]!.message.content)).to.have.length(6_553_600)
    })
  })

  describe('an answer that is none', () => {
    it("passes the provider's error on and fails the turn", async () => {
      const session = await newSession()
      const prompts: { messages?: unknown }[] = []
      const answers = [refusedAnswer, jsonAnswer('fine')]
      const url = await start({
        provider: (body) => {
          prompts.push(body)
          return answers.shift()!
        },
      })
      const response = await ask(url, question(session, 'too soon'), { 'x-way': 'send' })
      expect(response.status).to.equal(429)
      expect(await response.text()).to.equal(refusedAnswer.text)
      await (await ask(url, question(session, 'again'))).text()
      expect(prompts[1]!.messages).to.deep.equal([{ role: 'user', content: 'again' }])
      expect(await said(session)).to.deep.equal([
        'failed user: too soon',
        'done user: again',
        'done assistant: fine',
      ])
    })

    it('inside a 200 stream passes and fails the turn', async () => {
      const session = await newSession()
      const url = await start({ provider: () => brokenStream })
      const response = await ask(url, question(session, 'hi', { stream: true }), { 'x-way': 'writes' })
      expect(await response.text()).to.equal(brokenStream.text)
      expect(await said(session)).to.deep.equal(['failed user: hi'])
    })

    it('from a handler that throws fails the turn', async () => {
      const session = await newSession()
      const url = await start({
        provider: () => {
          throw new Error('provider is down')
        },
      })
      expect((await ask(url, question(session, 'hi'))).status).to.equal(500)
      expect(await said(session)).to.deep.equal(['failed user: hi'])
    })

    it('is nothing at all after discard()', async () => {
      const session = await newSession()
      const url = await start({
        provider: async (_body, turn) => {
          await turn!.discard()
          return jsonAnswer('/help is not for the model')
        },
      })
      expect(await (await ask(url, question(session, '/help'))).text()).to.contain('/help')
      expect(await said(session)).to.deep.equal([])
    })
  })

  describe('a client that goes away', () => {
    it('leaves what was said as interrupted, cancels the handler and is not injected as complete', async () => {
      const session = await newSession()
      let cancelled: Promise<unknown> | undefined
      const url = await start({
        provider: () => jsonAnswer(''),
        handler: async (_body, res, turn) => {
          cancelled = once(turn!.signal, 'abort')
          res.setHeader('content-type', 'text/event-stream')
          res.write(chunk({ role: 'assistant', content: 'Once upon' }))
          await cancelled
        },
      })
      const exchange = rawPost(
        url,
        '/v1/chat/completions',
        user,
        JSON.stringify(question(session, 'a story', { stream: true })),
      )
      await exchange.until('Once upon')
      exchange.socket.destroy()
      await exchange.ended
      await cancelled
      while ((await stored(session)).some(({ status }) => status === 'open')) await sleep(10)
      expect(await said(session)).to.deep.equal([
        'interrupted user: a story',
        'interrupted assistant: Once upon',
      ])
    })

    it("with onDisconnect 'finish' has its answer stored whole", async () => {
      const session = await newSession()
      let resume = (): void => undefined
      const gone = new Promise<void>((resolve) => (resume = resolve))
      const url = await start({
        options: { onDisconnect: 'finish' },
        provider: () => jsonAnswer(''),
        handler: async (_body, res, turn) => {
          res.setHeader('content-type', 'text/event-stream')
          res.write(chunk({ role: 'assistant', content: 'Once ' }))
          await gone
          res.write(chunk({ content: 'upon' }))
          res.end(chunk({}, 'stop') + doneEvent)
          expect(turn!.signal.aborted).to.equal(false)
        },
      })
      const exchange = rawPost(
        url,
        '/v1/chat/completions',
        user,
        JSON.stringify(question(session, 'a story', { stream: true })),
      )
      await exchange.until('Once')
      exchange.socket.destroy()
      await exchange.ended
      await sleep(20)
      resume()
      while ((await stored(session)).some(({ status }) => status === 'open')) await sleep(10)
      expect(await said(session)).to.deep.equal(['done user: a story', 'done assistant: Once upon'])
    })
  })

  describe('the official client', () => {
    it('creates completions with session_id in the body, streaming and not', async () => {
      const session = await newSession()
      const prompts: { messages?: unknown[] }[] = []
      const url = await start({
        provider: (body) => {
          prompts.push(body)
          return body.stream === true ? streamAnswer('stre', 'amed') : jsonAnswer('whole')
        },
      })
      const client = new OpenAI({
        baseURL: `${url}/v1`,
        apiKey: 'none',
        defaultHeaders: { ...user, 'x-way': 'end' },
      })
      const body = {
        model: 'gpt-4o',
        messages: [{ role: 'user' as const, content: 'hi' }],
        session_id: session,
      }
      const whole = await client.chat.completions.create(body)
      expect(whole.choices[0]!.message.content).to.equal('whole')
      let text = ''
      for await (const part of await client.chat.completions.create({ ...body, stream: true })) {
        text += part.choices[0]?.delta.content ?? ''
      }
      expect(text).to.equal('streamed')
      expect(prompts[1]!.messages).to.have.length(3)
      expect(prompts[1]).to.not.have.property('session_id')
      expect(await said(session)).to.have.length(4)
    })
  })

  describe('a request that cannot be', () => {
    const refused = async (body: object, headers: Record<string, string> = {}): Promise<[number, string]> => {
      const url = await start({ provider: () => jsonAnswer('never') })
      const response = await ask(url, body, headers)
      const { error } = (await response.json()) as { error: { code: string; message: string } }
      return [response.status, error.code]
    }

    it('has no user', async () => {
      expect(await refused(question('new', 'hi'), { 'x-user': '' })).to.deep.equal([401, 'unauthorized'])
    })

    it('names a session that is not there, or another user’s', async () => {
      expect(await refused(question('nope', 'hi'))).to.deep.equal([404, 'session_not_found'])
      await host!.stop()
      expect(await refused(question(await newSession(), 'hi'), { 'x-user': 'bob' })).to.deep.equal([
        404,
        'session_not_found',
      ])
    })

    it('has an id that is none', async () => {
      expect(await refused({ ...question(undefined, 'hi'), session_id: 7 })).to.deep.equal([
        400,
        'invalid_request',
      ])
      await host!.stop()
      expect(await refused(question('a b', 'hi'))).to.deep.equal([400, 'invalid_request'])
    })

    it('has no messages', async () => {
      expect(await refused({ session_id: 'new', model: 'x' })).to.deep.equal([400, 'invalid_request'])
    })

    it('brings the result of a call that nobody made', async () => {
      const messages = [{ role: 'tool', tool_call_id: 'call_x', content: '1' }]
      expect(await refused({ session_id: await newSession(), messages })).to.deep.equal([
        400,
        'invalid_request',
      ])
    })
  })
}
