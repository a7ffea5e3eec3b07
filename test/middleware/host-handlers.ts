import { expect } from 'chai'

import { hostFormat, type Turnlog } from '../../lib/index.js'
import type { ProviderAnswer } from './answers.js'
import type { Framework, HostSetup, RunningHost } from './framework.js'

interface Piece {
  readonly token?: string
  readonly reply?: string
  readonly error?: string
  readonly done?: boolean
}

const read = (body: Record<string, unknown>) => ({ question: body.message as string })
const event = (piece: Piece) => ({
  delta: piece.token,
  replace: piece.reply,
  error: piece.error,
  end: piece.done,
})

const formats = {
  ndjson: hostFormat<Piece>({ name: 'lines', read, inject: false, framing: 'ndjson', event }),
  sse: hostFormat<Piece>({ name: 'events', read, inject: false, framing: 'sse', event }),
  json: hostFormat<Piece>({ name: 'reply', read, inject: false, event }),
  text: hostFormat<string>({
    name: 'text',
    read,
    inject: false,
    framing: 'text',
    event: (delta) => ({ delta }),
  }),
}
type Kind = keyof typeof formats

const words = (answer: string): string[] => answer.split(/(?<= )/)

/** An answer as handlers write it that do not speak chat completions. */
const written: Readonly<Record<Kind, (answer: string) => ProviderAnswer>> = {
  ndjson: (answer) => ({
    status: 200,
    type: 'application/octet-stream',
    text: words(answer)
      .map((token) => `{"token":${JSON.stringify(token)}}\n`)
      .join(''),
  }),
  sse: (answer) => ({
    status: 200,
    type: 'text/event-stream',
    text: `${words(answer)
      .map((token) => `event: token\ndata: {"token":${JSON.stringify(token)}}\n\n`)
      .join('')}event: bye\ndata: {"done":true}\n\n`,
  }),
  json: (reply) => ({ status: 200, type: 'application/json', text: JSON.stringify({ reply }) }),
  text: (text) => ({ status: 200, type: 'text/plain', text }),
}

/** Handlers that take `{message}`, read the turn's messages and answer in their own way, over one framework. */
export function remembersHostHandlers(framework: Framework, core: () => Turnlog): void {
  let host: RunningHost | undefined
  let session = ''
  beforeEach(async () => {
    session = (await core().sessions.create({ userId: 'ann', model: 'small' })).id
  })
  afterEach(() => host?.stop())

  const start = async (kind: Kind, setup: Omit<HostSetup, 'turnlog'>): Promise<void> => {
    host = await framework.start({ turnlog: core(), options: { format: formats[kind] }, ...setup })
  }
  const ask = (message: string, more: Record<string, string> = {}): Promise<Response> =>
    fetch(`${host!.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'x-user': 'ann', 'content-type': 'application/json', 'x-way': 'send', ...more },
      body: JSON.stringify({ session_id: session, message }),
    })
  const said = async (): Promise<string[]> => {
    const page = await core().messages.list({ userId: 'ann', sessionId: session })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }

  for (const kind of Object.keys(formats) as Kind[]) {
    for (const way of ['send', 'writes', 'pipeline']) {
      it(`are remembered and get the history on the turn (${kind}, ${way})`, async () => {
        const bodies: unknown[] = []
        const heard: unknown[] = []
        await start(kind, {
          provider: (body, turn) => {
            bodies.push(body)
            heard.push(turn!.messages.map(({ content }) => content))
            return written[kind](`answer ${heard.length} é😀`)
          },
        })
        const first = await ask('one', { 'x-way': way })
        expect(await first.text()).to.equal(written[kind]('answer 1 é😀').text)
        await (await ask('two', { 'x-way': way })).text()
        expect(bodies).to.deep.equal([{ message: 'one' }, { message: 'two' }])
        expect(heard).to.deep.equal([['one'], ['one', 'answer 1 é😀', 'two']])
        expect(await said()).to.deep.equal([
          'done user: one',
          'done assistant: answer 1 é😀',
          'done user: two',
          'done assistant: answer 2 é😀',
        ])
      })
    }
  }

  it('fail the turn with an error inside a 200', async () => {
    const text = '{"token":"I was"}\n{"error":"overloaded"}\n'
    await start('ndjson', { provider: () => ({ status: 200, type: 'application/x-ndjson', text }) })
    expect(await (await ask('hi', { 'x-way': 'writes' })).text()).to.equal(text)
    expect(await said()).to.deep.equal(['failed user: hi'])
  })

  it('leave nothing behind when they discard the turn', async () => {
    await start('text', {
      provider: async (_body, turn) => {
        await turn!.discard()
        return written.text('Commands: /help')
      },
    })
    expect(await (await ask('/help')).text()).to.equal('Commands: /help')
    expect(await said()).to.deep.equal([])
  })

  it('leave what they hide in the list and out of every prompt', async () => {
    const heard: number[] = []
    await start('text', {
      provider: (body, turn) => {
        heard.push(turn!.messages.length)
        if (body.message === '/balance') turn!.hide()
        return written.text(`answer to ${String(body.message)}`)
      },
    })
    for (const message of ['one', '/balance', 'two']) await (await ask(message, { 'x-way': 'writes' })).text()
    expect(heard).to.deep.equal([1, 3, 3])
    expect(await said()).to.deep.equal([
      'done user: one',
      'done assistant: answer to one',
      'failed user: /balance',
      'failed assistant: answer to /balance',
      'done user: two',
      'done assistant: answer to two',
    ])
  })

  it('are recorded with their headers flushed before the turn begins', async () => {
    await start('text', {
      flushFirst: 'text/plain',
      provider: () => written.text('never asked'),
      handler: (_body, res) => void res.end('late'),
    })
    const response = await ask('hi')
    expect(await response.text()).to.equal('late')
    expect(response.headers.get('x-session-id')).to.equal(null)
    expect(await said()).to.deep.equal(['done user: hi', 'done assistant: late'])
  })

  for (const status of [204, 304]) {
    it(`fail the turn with a ${status}`, async () => {
      await start('text', {
        provider: () => written.text('never asked'),
        handler: (_body, res) => {
          res.statusCode = status
          res.end()
        },
      })
      expect((await ask('hi')).status).to.equal(status)
      expect(await said()).to.deep.equal(['failed user: hi'])
    })
  }

  it('say in their own way what was answered to a key before', async () => {
    let calls = 0
    await start('text', { provider: () => written.text(`answer ${++calls}`) })
    const key = { 'idempotency-key': 'once' }
    await (await ask('hi', key)).text()
    const again = await ask('hi', key)
    expect([await again.text(), calls]).to.deep.equal(['answer 1', 1])
    expect(again.headers.get('content-type')).to.match(/^text\/plain/)
  })

  it('are refused a request that asks nothing', async () => {
    await start('text', { provider: () => written.text('never asked') })
    const response = await ask('')
    expect(response.status).to.equal(400)
    expect(await response.json()).to.have.nested.property('error.code', 'invalid_request')
  })
}
