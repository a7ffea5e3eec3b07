import { on, once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

import { expect } from 'chai'
import OpenAI from 'openai'
import { WebSocket, WebSocketServer } from 'ws'

import { HistoryUnavailable, TurnInProgress, type Message, type Turnlog } from '../../lib/index.js'
import { chunk, doneEvent, jsonAnswer, streamAnswer } from '../middleware/answers.js'
import { freshCore, type FreshCore } from '../services/core.js'

describe('a turn without a framework', () => {
  let core: FreshCore
  let turnlog: Turnlog
  before(async () => {
    core = await freshCore()
    turnlog = core.turnlog
  })
  after(() => core.end())

  const newSession = async (): Promise<string> => (await turnlog.sessions.create({ userId: 'ann' })).id
  const said = async (sessionId: string): Promise<string[]> => {
    const page = await turnlog.messages.list({ userId: 'ann', sessionId })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }

  it('gives the history before the question, and the question first', async () => {
    const sessionId = await newSession()
    const first = await turnlog.begin({ userId: 'ann', sessionId, question: 'one' })
    expect(first.number).to.equal(1)
    expect(first.messages).to.deep.equal([{ role: 'user', content: 'one' }])
    expect(await said(sessionId)).to.deep.equal(['open user: one'])
    expect(await first.complete('1')).to.equal('stored')
    const second = await turnlog.begin({
      userId: 'ann',
      sessionId,
      question: { role: 'user', content: 'two' },
    })
    expect(second.history).to.deep.equal([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: '1' },
    ])
    expect(second.messages.at(-1)).to.deep.equal({ role: 'user', content: 'two' })
    expect(second.receipt).to.include({ injected: 2, dropped: 0 })
    await second.discard()
    expect(await said(sessionId)).to.deep.equal(['done user: one', 'done assistant: 1'])
  })

  it('pins a system message once and sends the newest', async () => {
    const sessionId = await newSession()
    const ask = async (...question: Message[]): Promise<readonly Message[]> => {
      const turn = await turnlog.begin({ userId: 'ann', sessionId, question })
      await turn.complete('ok')
      return turn.messages
    }
    await ask({ role: 'system', content: 'be brief' }, { role: 'user', content: 'a' })
    await ask({ role: 'system', content: 'be brief' }, { role: 'user', content: 'b' })
    const prompt = await ask({ role: 'system', content: 'be long' }, { role: 'user', content: 'c' })
    expect(prompt.map(({ content }) => content)).to.deep.equal(['be long', 'a', 'ok', 'b', 'ok', 'c'])
    expect((await ask({ role: 'user', content: 'd' }))[0]).to.deep.equal({
      role: 'system',
      content: 'be long',
    })
    expect((await said(sessionId)).filter((line) => line.includes('system'))).to.have.length(2)
  })

  it('counts its first ending alone', async () => {
    const sessionId = await newSession()
    const turn = await turnlog.begin({ userId: 'ann', sessionId, question: 'q' })
    const [stored, late] = await Promise.all([turn.complete('answer'), turn.fail(new Error('late'))])
    expect([stored, late, turn.status]).to.deep.equal(['stored', 'stored', 'done'])
    expect(await said(sessionId)).to.deep.equal(['done user: q', 'done assistant: answer'])
  })

  it('refuses an answer to what was cleared or deleted meanwhile', async () => {
    const sessionId = await newSession()
    const cleared = await turnlog.begin({ userId: 'ann', sessionId, question: 'q' })
    await turnlog.sessions.clear({ userId: 'ann', id: sessionId })
    expect(await cleared.complete('late')).to.equal('refused')
    const deleted = await turnlog.begin({ userId: 'ann', sessionId, question: 'q' })
    await turnlog.sessions.delete({ userId: 'ann', id: sessionId })
    expect(await deleted.complete('late')).to.equal('refused')
  })

  it('keeps what was said when its signal aborts', async () => {
    const sessionId = await newSession()
    const gone = new AbortController()
    const turn = await turnlog.begin({ userId: 'ann', sessionId, question: 'q', signal: gone.signal })
    turn.recorder('sse').write(Buffer.from(chunk({ role: 'assistant', content: 'partly' })))
    gone.abort()
    expect(turn.signal.aborted).to.equal(true)
    await turn.interrupt()
    expect(await said(sessionId)).to.deep.equal(['interrupted user: q', 'interrupted assistant: partly'])
  })

  it('is replayed under its key, and refused while it runs', async () => {
    const sessionId = await newSession()
    const request = { userId: 'ann', sessionId, question: 'q', key: 'k1' }
    const turn = await turnlog.begin(request)
    const running = await turnlog.begin(request).catch((error: unknown) => error)
    expect(running).to.be.instanceOf(TurnInProgress).with.property('retryAfterSeconds', 1)
    await turn.complete('once')
    const again = await turnlog.begin(request)
    expect(again.status).to.equal('replayed')
    expect(again.replay!.turn.messages.at(-1)!.message).to.deep.equal({ role: 'assistant', content: 'once' })
  })

  it('can be driven from a WebSocket', async () => {
    const sessionId = await newSession()
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(server, 'listening')
    server.on('connection', (socket) => {
      socket.on('message', (question: Buffer) => void reply(socket, question.toString()))
    })
    async function reply(socket: WebSocket, question: string): Promise<void> {
      const turn = await turnlog.begin({ userId: 'ann', sessionId, question })
      async function* provider(): AsyncGenerator<object> {
        for (const content of ['I was sent ', String(turn.messages.length)])
          yield { choices: [{ index: 0, delta: { content } }] }
        yield { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }
      }
      for await (const part of turn.record(provider())) socket.send(JSON.stringify(part))
      socket.send('end')
    }
    const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
    await once(socket, 'open')
    for (const question of ['first', 'second']) {
      socket.send(question)
      for await (const [data] of on(socket, 'message')) if (String(data) === 'end') break
    }
    socket.close()
    server.close()
    expect(await said(sessionId)).to.deep.equal([
      'done user: first',
      'done assistant: I was sent 1',
      'done user: second',
      'done assistant: I was sent 3',
    ])
  })

  describe('around the official client', () => {
    let provider: Server
    let client: OpenAI
    before(async () => {
      provider = createServer((req, res) => {
        req.resume()
        res.setHeader('content-type', 'text/event-stream')
        res.end(
          req.headers['x-cut'] === 'yes'
            ? chunk({ role: 'assistant', content: 'cut' })
            : streamAnswer('a', 'b').text,
        )
      })
      provider.listen(0, '127.0.0.1')
      await once(provider, 'listening')
      const { port } = provider.address() as AddressInfo
      client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'none' })
    })
    after(() => void provider.close())

    const stream = async (turn: { messages: readonly Message[] }, headers = {}) =>
      client.chat.completions.create(
        {
          model: 'gpt-4o',
          messages: turn.messages as unknown as OpenAI.ChatCompletionMessageParam[],
          stream: true,
        },
        { headers },
      )

    it('records the stream as it passes', async () => {
      const sessionId = await newSession()
      const turn = await turnlog.begin({ userId: 'ann', sessionId, question: 'q' })
      let text = ''
      for await (const part of turn.record(await stream(turn))) text += part.choices[0]?.delta.content ?? ''
      expect(text).to.equal('ab')
      expect(turn.status).to.equal('done')
      expect(await said(sessionId)).to.deep.equal(['done user: q', 'done assistant: ab'])
    })

    it('interrupts the turn when the loop is left or the stream is cut', async () => {
      const sessionId = await newSession()
      const left = await turnlog.begin({ userId: 'ann', sessionId, question: 'left' })
      for await (const part of left.record(await stream(left)))
        if (part.choices[0]?.delta.content === 'a') break
      const cut = await turnlog.begin({ userId: 'ann', sessionId, question: 'cut' })
      for await (const _ of cut.record(await stream(cut, { 'x-cut': 'yes' })));
      expect(await said(sessionId)).to.deep.equal([
        'interrupted user: left',
        'interrupted assistant: a',
        'interrupted user: cut',
        'interrupted assistant: cut',
      ])
    })
  })

  it('begins no more once closed, and keeps what was running', async () => {
    const own = await freshCore()
    const { id: sessionId } = await own.turnlog.sessions.create({ userId: 'ann' })
    const turn = await own.turnlog.begin({ userId: 'ann', sessionId, question: 'q' })
    turn.recorder('sse').write(Buffer.from(chunk({ content: 'half' }) + doneEvent.slice(0, 3)))
    const closed = own.turnlog.close({ drainMs: 10 })
    const refused = await own.turnlog
      .begin({ userId: 'ann', sessionId, question: 'q' })
      .catch((error: unknown) => error)
    expect(refused).to.be.instanceOf(HistoryUnavailable)
    await closed
    expect(turn.status).to.equal('interrupted')
    await own.end()
  })

  it('is not changed by what the host does to its messages', async () => {
    const sessionId = await newSession()
    const said = (role: string) => ({ role, content: [{ type: 'text', text: role }] })
    const [question, answer] = [said('user'), said('assistant')]
    const turn = await turnlog.begin({ userId: 'ann', sessionId, question })
    question.content[0]!.text = 'changed by the caller'
    spoil(turn.messages)
    const stored = turn.complete(answer)
    answer.content[0]!.text = 'changed by the caller'
    await stored
    for (const round of ['first', 'second']) {
      const body = { messages: [{ role: 'user', content: round }] }
      const next = await turnlog.begin({ userId: 'ann', sessionId, body })
      expect(next.receipt.source).to.equal('memory')
      expect(next.history, round).to.deep.equal([said('user'), said('assistant')])
      spoil(next.history)
      spoil(next.messages)
      spoil(next.body!['messages'] as Message[])
      await next.discard()
    }
  })

  it('needs nothing but a body to make the body that is sent', async () => {
    const sessionId = await newSession()
    const body = {
      session_id: sessionId,
      model: 'm',
      temperature: 0,
      messages: [{ role: 'user', content: 'q' }],
    }
    const turn = await turnlog.begin({ userId: 'ann', sessionId, body })
    expect(turn.body).to.deep.equal({
      model: 'm',
      temperature: 0,
      messages: [{ role: 'user', content: 'q' }],
    })
    const recorder = turn.recorder('json')
    recorder.write(Buffer.from(jsonAnswer('a').text))
    expect(await turn.settle(recorder.end())).to.equal('stored')
  })
})

/** What a host may do to what it was given. */
function spoil(messages: readonly Message[]): void {
  for (const message of messages) {
    const { content } = message
    if (Array.isArray(content)) Object.assign(content[0] as object, { text: 'spoilt' })
    Object.assign(message, { role: 'spoilt', extra: true })
  }
  Object.assign(messages, { length: 0 })
}
