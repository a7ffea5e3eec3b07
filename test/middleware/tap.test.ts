import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import * as zlib from 'node:zlib'

import { expect } from 'chai'
import express, { type NextFunction, type Request, type Response } from 'express'
import express4 from 'express4'

import { openaiChat, type AnswerReader, type Format } from '../../lib/index.js'
import { remember } from '../../middleware/express.js'
import type { RememberOptions } from '../../middleware/options.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { chunk, doneEvent, jsonAnswer, streamAnswer } from './answers.js'
import { inPieces } from './framework.js'
import { rawPost } from './raw.js'

type Handler = (req: Request, res: Response, next: NextFunction) => void | Promise<void>

const stillReader: AnswerReader = {
  event: ({ data }) => (data === '[DONE]' ? 'end' : 'more'),
  chunk: () => 'more',
  body: () => 'end',
  answer: () => undefined,
}

/** What Node can decode: zstd from 22.15 on. */
const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer }
const encoders: readonly (readonly [string, ((bytes: Buffer) => Buffer) | undefined])[] = [
  ['gzip', zlib.gzipSync],
  ['deflate', zlib.deflateSync],
  ['br', zlib.brotliCompressSync],
  ['zstd', zstdCompressSync],
  ['compress', undefined],
]

/** What handlers of real hosts do to a response, and what must come of it. */
describe('a tapped response', () => {
  let core: FreshCore
  let stops: (() => Promise<void>)[] = []
  before(async () => {
    core = await freshCore()
  })
  after(async () => {
    await core.end()
  })
  afterEach(async () => {
    await Promise.all(stops.map((stop) => stop()))
    stops = []
  })

  async function serve(
    handler: Handler,
    options: Partial<RememberOptions<Request>> = {},
    create: typeof express = express,
    turnlog: FreshCore['turnlog'] = core.turnlog,
  ): Promise<string> {
    const app = create()
    app.set('env', 'test')
    app.use(create.json() as express.RequestHandler)
    app.post('/v1', remember(turnlog, { userId: () => 'ann', ...options }), handler)
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    stops.push(async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  const newSession = async (): Promise<string> => (await core.turnlog.sessions.create({ userId: 'ann' })).id

  const question = (session_id: string, more: object = {}): string =>
    JSON.stringify({ session_id, messages: [{ role: 'user', content: 'hi' }], ...more })

  const ask = (url: string, session: string): Promise<globalThis.Response> =>
    fetch(`${url}/v1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: question(session),
      signal: AbortSignal.timeout(5_000),
    })

  const said = async (sessionId: string): Promise<string[]> => {
    const page = await core.turnlog.messages.list({ userId: 'ann', sessionId })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }

  /** Polls: what is waited for happens after the client has gone. */
  async function closed(sessionId: string): Promise<string[]> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const found = await said(sessionId)
      if (!found.some((line) => line.startsWith('open'))) return found
      await sleep(10)
    }
    return said(sessionId)
  }

  describe('whose handler goes on after its end', () => {
    const answer = jsonAnswer('kept')
    const wholeAnswer = async (handler: Handler): Promise<void> => {
      const session = await newSession()
      const url = await serve(handler)
      const response = await ask(url, session)
      expect(response.status).to.equal(200)
      expect(response.headers.get('content-type')).to.equal('application/json; charset=utf-8')
      expect(response.headers.get('x-history-stored')).to.equal('true')
      expect(await response.text()).to.equal(answer.text)
      expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: kept'])
    }

    it('is answered as it was ended when the handler throws then', async () => {
      await wholeAnswer((_req, res) => {
        res.json(JSON.parse(answer.text))
        throw new Error('the log is full')
      })
    })

    it('is answered as it was ended when another answer follows', async () => {
      await wholeAnswer((_req, res) => {
        res.json(JSON.parse(answer.text))
        res.status(500).set('x-late', 'yes').json({ error: 'too late, and of another length' })
      })
    })

    it('does not get what is written then, and the writer is told', async () => {
      let told: Error | null | undefined
      await wholeAnswer(async (_req, res) => {
        res.json(JSON.parse(answer.text))
        told = await new Promise((resolve) => res.write('more', resolve))
      })
      expect(told).to.have.property('code', 'ERR_STREAM_WRITE_AFTER_END')
    })
  })

  it('whose head cannot be written ends, and the process lives', async () => {
    const session = await newSession()
    const url = await serve((_req, res) => {
      res.statusMessage = 'not\na message'
      res.json(JSON.parse(jsonAnswer('x').text))
    })
    const error: unknown = await ask(url, session).catch((fault: unknown) => fault)
    expect(error).to.be.instanceOf(TypeError)
  })

  it('refuses to end with what is no text and no bytes, as Node does', async () => {
    const session = await newSession()
    const url = await serve((_req, res) => void res.end(42))
    expect((await ask(url, session)).status).to.equal(500)
    expect(await closed(session)).to.deep.equal(['failed user: hi'])
  })

  it('sends its head with the first write, though the bytes are held', async () => {
    const session = await newSession()
    let sent: boolean | undefined
    const url = await serve((_req, res) => {
      res.setHeader('content-type', 'text/event-stream')
      res.write('data: {"half')
      sent = res.headersSent
      res.end('')
    })
    await (await ask(url, session)).text()
    expect(sent).to.equal(true)
  })

  it('is told by its first byte, not by an empty write before it', async () => {
    const session = await newSession()
    const url = await serve((_req, res) => {
      res.write('')
      res.end(streamAnswer('found').text)
    })
    await (await ask(url, session)).text()
    expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: found'])
  })

  it('is whole for the client with its last counted byte, though its end is never called', async () => {
    const session = await newSession()
    const { text, type } = jsonAnswer('counted')
    const url = await serve((_req, res) => {
      res.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
      res.write(text)
    })
    expect(await (await ask(url, session)).text()).to.equal(text)
    expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: counted'])
  })

  it('keeps the order of bytes and callbacks that a handler of any taste makes', async () => {
    const session = await newSession()
    const order: number[] = []
    const url = await serve((_req, res) => {
      res.setHeader('content-type', 'text/event-stream')
      res.write(new Uint8Array(Buffer.from(chunk({ role: 'assistant', content: 'a' }))), () => order.push(1))
      res.write(Buffer.from(chunk({ content: 'é' })).toString('base64'), 'base64', () => order.push(2))
      res.write('', () => order.push(3))
      res.write(Buffer.from(chunk({}, 'stop') + doneEvent).toString('hex'), 'hex', () => order.push(4))
      res.write(': after\n\n', () => order.push(5))
      res.end(Buffer.from(': end\n\n'), () => order.push(6))
    })
    const text = await (await ask(url, session)).text()
    expect(text).to.equal(
      chunk({ role: 'assistant', content: 'a' }) +
        chunk({ content: 'é' }) +
        chunk({}, 'stop') +
        doneEvent +
        ': after\n\n: end\n\n',
    )
    await sleep(20)
    expect(order).to.deep.equal([1, 2, 3, 4, 5, 6])
    expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: aé'])
  })

  for (const moment of ['event', 'body', 'answer'] as const) {
    it(`passes whole and fails its turn when the format's reader throws (${moment})`, async () => {
      const session = await newSession()
      const broken = (): never => {
        throw new Error('a reader of the host')
      }
      const format: Format = {
        ...openaiChat,
        reader: () => ({ ...stillReader, [moment]: broken }),
      }
      const { text, type } = moment === 'body' ? jsonAnswer('x') : streamAnswer('x')
      const url = await serve(
        async (_req, res) => {
          res.setHeader('content-type', type)
          await pipeline(Readable.from(inPieces(text, 40)), res)
        },
        { format },
      )
      expect(await (await ask(url, session)).text()).to.equal(text)
      expect(await said(session)).to.deep.equal(['failed user: hi'])
    })
  }

  it('keeps its trailers', async () => {
    const session = await newSession()
    const url = await serve((_req, res) => {
      res.setHeader('content-type', 'text/event-stream')
      res.setHeader('trailer', 'x-sum')
      res.write(streamAnswer('t').text)
      res.addTrailers({ 'x-sum': '42' })
      res.end()
    })
    const call = request(`${url}/v1`, { method: 'POST', headers: { 'content-type': 'application/json' } })
    call.end(question(session))
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    for await (const _ of response);
    expect(response.trailers).to.deep.equal({ 'x-sum': '42' })
  })

  it("is closed when its handler destroys the response, with onDisconnect 'finish' too", async () => {
    const session = await newSession()
    const url = await serve(
      (_req, res) => {
        res.setHeader('content-type', 'text/event-stream')
        res.write(chunk({ role: 'assistant', content: 'Once' }), () => res.destroy())
      },
      { onDisconnect: 'finish' },
    )
    await ask(url, session).catch(() => undefined)
    expect(await closed(session)).to.deep.equal(['interrupted user: hi', 'interrupted assistant: Once'])
  })

  for (const [encoding, encode] of encoders) {
    it(`that comes encoded passes as it is and is ${encode ? 'remembered' : 'not seen'} (${encoding})`, async () => {
      const session = await newSession()
      const plain = Buffer.from(streamAnswer('Hé', 'llo').text)
      const bytes = encode ? encode(plain) : plain
      const warned = new Promise<Error>((resolve) => {
        process.on('warning', function note(warning) {
          if (!warning.message.startsWith('Answers reach')) return
          process.off('warning', note)
          resolve(warning)
        })
      })
      const url = await serve((_req, res) => {
        res.setHeader('content-type', 'text/event-stream')
        res.setHeader('content-encoding', encoding)
        for (const byte of bytes) res.write(Buffer.of(byte))
        res.end()
      })
      const sent = request(`${url}/v1`, { method: 'POST', headers: { 'content-type': 'application/json' } })
      sent.end(question(session))
      const [response] = (await once(sent, 'response')) as [IncomingMessage]
      expect(await buffer(response)).to.deep.equal(bytes)
      expect((await warned).message).to.include(encode ? 'cannot wait' : 'not stored')
      expect(await closed(session)).to.deep.equal(
        encode ? ['done user: hi', 'done assistant: Héllo'] : ['failed user: hi'],
      )
    })
  }

  describe("with onDisconnect 'finish', whose client is gone", () => {
    const goneAfter = async (text: string, handler: Handler): Promise<string[]> => {
      const session = await newSession()
      const url = await serve(handler, { onDisconnect: 'finish' })
      const exchange = rawPost(url, '/v1', {}, question(session))
      await exchange.until(text)
      exchange.socket.destroy()
      return closed(session)
    }

    async function* story(): AsyncGenerator<string> {
      yield chunk({ role: 'assistant', content: 'Once' })
      await sleep(100)
      yield chunk({ content: ' upon' })
      yield chunk({}, 'stop') + doneEvent
    }
    const isGone = async (res: Response): Promise<void> => {
      while (!res.destroyed) await sleep(5)
    }
    const ways: Record<string, (res: Response) => unknown> = {
      pipe: (res) => Readable.from(story()).pipe(res),
      'a pipeline': (res) => pipeline(Readable.from(story()), res).catch(() => undefined),
      'a pipeline of a generator': (res) => pipeline(story, res).catch(() => undefined),
      writes: async (res) => {
        for await (const piece of story()) if (!res.write(piece)) await once(res, 'drain')
        res.end()
      },
    }
    for (const [way, answer] of Object.entries(ways)) {
      it(`is read to its end from ${way}, and tells of the close then`, async () => {
        let tell = (): void => undefined
        const told = new Promise<void>((resolve) => (tell = resolve))
        const lines = await goneAfter('Once', async (_req, res) => {
          res.setHeader('content-type', 'text/event-stream')
          res.once('close', tell)
          await answer(res)
        })
        expect(lines).to.deep.equal(['done user: hi', 'done assistant: Once upon'])
        await told
      })
    }

    it('tells of the close when the turn takes too long', async () => {
      const own = await freshCore({ turnTimeoutSeconds: 1 })
      try {
        const session = (await own.turnlog.sessions.create({ userId: 'ann' })).id
        let closed = (): void => undefined
        const heard = new Promise<void>((resolve) => (closed = resolve))
        const url = await serve(
          (_req, res) => {
            res.once('close', closed)
            res.write(chunk({ role: 'assistant', content: 'Once' }))
          },
          { onDisconnect: 'finish' },
          express,
          own.turnlog,
        )
        const exchange = rawPost(url, '/v1', {}, question(session))
        await exchange.until('Once')
        exchange.socket.destroy()
        await heard
      } finally {
        await own.end()
      }
    })

    it('is closed when its pipeline only begins then, or its source fails', async () => {
      for (const when of ['before', 'after'] as const) {
        const lines = await goneAfter('Once', async (_req, res) => {
          res.setHeader('content-type', 'text/event-stream')
          res.write(chunk({ role: 'assistant', content: 'Once' }))
          if (when === 'before') await isGone(res)
          const source = new Readable({ read: () => undefined })
          if (when === 'after') setTimeout(() => source.destroy(new Error('the provider is gone')), 50)
          // Node 24 refuses a response that has closed and lets go of both: the handler's own end is all there is to notice.
          await pipeline(source, res).catch(() => source.destroyed || res.end())
        })
        expect(lines[0]).to.equal('interrupted user: hi')
      }
    })

    it('is closed when its handler destroys the response', async () => {
      const lines = await goneAfter('Once', async (_req, res) => {
        res.setHeader('content-type', 'text/event-stream')
        res.write(chunk({ role: 'assistant', content: 'Once' }))
        await isGone(res)
        res.destroy(new Error('the provider is gone'))
      })
      expect(lines).to.deep.equal(['interrupted user: hi', 'interrupted assistant: Once'])
    })

    it('lets a handler go on that waits for the socket to drain', async () => {
      const piece = chunk({ content: 'x'.repeat(65_536) })
      const lines = await goneAfter('HTTP/1.1', async (_req, res) => {
        res.setHeader('content-type', 'text/event-stream')
        for (let index = 0; index < 200; index++) {
          if (!res.write(piece)) await once(res, 'drain')
          if (index === 100) await sleep(50)
        }
        res.end(chunk({}, 'stop') + doneEvent)
      })
      expect(lines[0]).to.equal('done user: hi')
    })
  })

  describe('of a request that is none of ours', () => {
    for (const type of [
      'text/plain',
      'multipart/form-data; boundary=x',
      'application/x-www-form-urlencoded',
    ]) {
      it(`passes with a body of ${type.split(';')[0]!}`, async () => {
        const url = await serve((req, res) => void res.json({ body: req.body ?? null }))
        const response = await fetch(`${url}/v1`, {
          method: 'POST',
          headers: { 'content-type': type },
          body: 'x',
        })
        expect(response.status).to.equal(200)
      })
    }
  })

  it('begins with a check of what it is mounted with', () => {
    for (const none of [{}, null, undefined]) {
      expect(() => remember(none as never, { userId: () => 'ann' })).to.throw('createTurnlog()')
    }
  })

  it('of Express 4 answers 500 when a function of the host throws', async () => {
    const skip = (): boolean => {
      throw new Error('skip is broken')
    }
    const url = await serve((_req, res) => void res.end(), { skip }, express4 as unknown as typeof express)
    expect((await ask(url, 'any')).status).to.equal(500)
  })
})
