import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import OpenAI from 'openai'

import type { Turnlog } from '../../lib/index.js'
import { brokenStream, chunk, doneEvent, jsonAnswer, refusedAnswer, streamAnswer } from './answers.js'
import type { ProviderAnswer } from './answers.js'
import type { Framework, HostSetup, RunningHost } from './framework.js'
import { rawPost } from './raw.js'

const user = { 'x-user': 'ann', 'content-type': 'application/json' }

/** An answer that calls two tools, whole and as a stream that is cut inside its arguments. */
const callingAnswer: ProviderAnswer = jsonAnswer('', {
  choices: [
    {
      index: 0,
      message: {
        role: 'assistant',
        content: null,
        refusal: null,
        tool_calls: [
          { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Zürich"}' } },
          { id: 'call_b', type: 'function', function: { name: 'time', arguments: '' } },
        ],
      },
      finish_reason: 'tool_calls',
      logprobs: null,
    },
  ],
})

const callDelta = (index: number, call: object): string => chunk({ tool_calls: [{ index, ...call }] })

const usageChunk = `data: ${JSON.stringify({
  id: 'chatcmpl-1',
  created: 1_700_000_000,
  model: 'gpt-4o',
  object: 'chat.completion.chunk',
  choices: [],
  usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
})}\n\n`

const callingStream: ProviderAnswer = {
  status: 200,
  type: 'text/event-stream',
  text: [
    chunk({ role: 'assistant', content: null }),
    callDelta(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":' } }),
    callDelta(0, { function: { arguments: '"Zürich"}' } }),
    callDelta(1, { id: 'call_b', type: 'function', function: { name: 'time', arguments: '' } }),
    chunk({}, 'tool_calls'),
    usageChunk,
    doneEvent,
  ].join(''),
}

/** What an idempotency key promises over HTTP, over one framework. `core` gives a running Turnlog for the suite. */
export function keepsKeys(framework: Framework, core: () => Turnlog): void {
  let host: RunningHost | undefined
  afterEach(async () => {
    await host?.stop()
    host = undefined
  })

  /** A host whose provider gives these answers one after another, the last again and again; counts its calls. */
  const start = async (
    answers: readonly ProviderAnswer[],
    setup: Partial<HostSetup> = {},
  ): Promise<{ url: string; calls: Record<string, unknown>[] }> => {
    const calls: Record<string, unknown>[] = []
    host = await framework.start({
      turnlog: core(),
      provider: (body) => {
        calls.push(body)
        return answers[Math.min(calls.length, answers.length) - 1]!
      },
      ...setup,
    })
    return { url: host.url, calls }
  }
  const newSession = async (): Promise<string> => (await core().sessions.create({ userId: 'ann' })).id
  const said = async (sessionId: string): Promise<string[]> => {
    const page = await core().messages.list({ userId: 'ann', sessionId })
    return page!.data.map(({ status, message }) => `${status} ${message.role}: ${String(message.content)}`)
  }
  const ask = (url: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...user, 'x-way': 'end', ...headers },
      body: JSON.stringify(body),
    })
  const question = (session_id: string, content: string, more: object = {}): object => ({
    session_id,
    model: 'gpt-4o',
    messages: [{ role: 'user', content }],
    ...more,
  })
  const codeOf = async (response: Response): Promise<[number, string]> => {
    const { error } = (await response.json()) as { error: { code: string } }
    return [response.status, error.code]
  }
  const clientOf = (url: string, maxRetries = 0): OpenAI =>
    new OpenAI({
      baseURL: `${url}/v1`,
      apiKey: 'none',
      defaultHeaders: { ...user, 'x-way': 'end' },
      maxRetries,
      logLevel: 'off',
    })
  const bodyFor = (session_id: string) => ({
    model: 'gpt-4o',
    messages: [{ role: 'user' as const, content: 'pay' }],
    session_id,
  })
  const keyed = { headers: { 'Idempotency-Key': 'order-1' } }

  /** What the official client makes of an answer, whichever shape it came in. */
  const whole = async (client: OpenAI, session: string): Promise<unknown> =>
    told(await client.chat.completions.create(bodyFor(session), keyed))
  const streamed = async (client: OpenAI, session: string): Promise<unknown> => {
    const asked = { ...bodyFor(session), stream_options: { include_usage: true } }
    return told(await client.chat.completions.stream(asked as never, keyed).finalChatCompletion())
  }

  for (const [kind, asJson, asStream] of [
    ['an answer', jsonAnswer('only once 😀'), { ...streamAnswer('only', ' once 😀') }],
    ['tool calls', callingAnswer, callingStream],
  ] as const) {
    it(`gives ${kind} that came as JSON again, as JSON and as a stream, deep-equal for the official client`, async () => {
      const session = await newSession()
      const { url, calls } = await start([asJson])
      const client = clientOf(url)
      const first = await whole(client, session)
      expect(await whole(client, session)).to.deep.equal(first)
      expect(await streamed(client, session)).to.deep.equal(first)
      expect(calls).to.have.length(1)
    })

    it(`gives ${kind} that came as a stream again, as a stream and as JSON, deep-equal for the official client`, async () => {
      const session = await newSession()
      const { url, calls } = await start([asStream])
      const client = clientOf(url)
      const first = await streamed(client, session)
      expect(await streamed(client, session)).to.deep.equal(first)
      expect(await whole(client, session)).to.deep.equal(first)
      expect(calls).to.have.length(1)
    })
  }

  it('says that an answer is given again, of which turn, and stores nothing', async () => {
    const session = await newSession()
    const { url } = await start([jsonAnswer('once')])
    const headers = { 'idempotency-key': 'k' }
    const first = await ask(url, question(session, 'q'), headers)
    expect(first.headers.get('idempotent-replayed')).to.equal(null)
    await first.text()
    for (const stream of [false, true]) {
      const again = await ask(url, question(session, 'q', { stream }), headers)
      expect(again.headers.get('idempotent-replayed')).to.equal('true')
      expect(again.headers.get('x-session-id')).to.equal(session)
      expect(again.headers.get('x-turn-id')).to.equal('1')
      expect(again.headers.get('content-type')).to.contain(stream ? 'text/event-stream' : 'application/json')
      await again.text()
    }
    expect(await said(session)).to.deep.equal(['done user: q', 'done assistant: once'])
  })

  it('is 409 with Retry-After while its request runs, and the official client waits for the answer by itself', async () => {
    const session = await newSession()
    let release = (): void => undefined
    const { url } = await start([], {
      handler: async (_body, res) => {
        await new Promise<void>((resolve) => (release = resolve))
        res.setHeader('content-type', 'application/json')
        res.end(jsonAnswer('slow').text)
      },
    })
    const first = ask(url, bodyFor(session), { 'idempotency-key': 'order-1' })
    while ((await said(session)).length === 0) await sleep(10)
    const second = await ask(url, bodyFor(session), { 'idempotency-key': 'order-1' })
    expect(second.headers.get('retry-after')).to.equal('1')
    expect(await codeOf(second)).to.deep.equal([409, 'turn_in_progress'])
    const waiting = clientOf(url, 2).chat.completions.create(bodyFor(session), keyed).withResponse()
    release()
    expect(await (await first).text()).to.equal(jsonAnswer('slow').text)
    const { data, response } = await waiting
    expect(data.choices[0]!.message.content).to.equal('slow')
    expect(response.headers.get('idempotent-replayed')).to.equal('true')
  })

  it('with another body is 422, whatever became of its turn', async () => {
    const session = await newSession()
    const { url, calls } = await start([jsonAnswer('a'), refusedAnswer])
    for (const key of ['done', 'failed']) {
      await (await ask(url, question(session, 'one'), { 'idempotency-key': key })).text()
      for (const other of [question(session, 'two'), question(session, 'one', { temperature: 1 })]) {
        const response = await ask(url, other, { 'idempotency-key': key })
        expect(await codeOf(response)).to.deep.equal([422, 'idempotency_key_reused'])
      }
    }
    expect(calls).to.have.length(2)
  })

  it('runs again after the provider refused, and the new turn supersedes the old', async () => {
    const session = await newSession()
    const { url, calls } = await start([refusedAnswer, brokenStream, jsonAnswer('at last')])
    const headers = { 'idempotency-key': 'k' }
    expect((await ask(url, question(session, 'q'), headers)).status).to.equal(429)
    expect(await said(session)).to.deep.equal(['failed user: q'])
    expect(await (await ask(url, question(session, 'q', { stream: true }), headers)).text()).to.equal(
      brokenStream.text,
    )
    expect(await said(session)).to.deep.equal(['failed user: q'])
    const third = await ask(url, question(session, 'q'), headers)
    expect(third.headers.get('x-turn-id')).to.equal('3')
    expect(await third.text()).to.equal(jsonAnswer('at last').text)
    expect(await said(session)).to.deep.equal(['done user: q', 'done assistant: at last'])
    expect(calls.map((body) => (body['messages'] as unknown[]).length)).to.deep.equal([1, 1, 1])
  })

  it('runs again after its client went away, without the broken answer in the prompt', async () => {
    const session = await newSession()
    const prompts: unknown[] = []
    const { url } = await start([], {
      handler: async (body, res, turn) => {
        prompts.push(body['messages'])
        res.setHeader('content-type', 'text/event-stream')
        res.write(chunk({ role: 'assistant', content: 'Once upon' }))
        if (prompts.length === 1) await once(turn!.signal, 'abort')
        else res.end(chunk({ content: ' a time' }) + chunk({}, 'stop') + doneEvent)
      },
    })
    const body = question(session, 'a story', { stream: true })
    const gone = rawPost(
      url,
      '/v1/chat/completions',
      { ...user, 'Idempotency-Key': 'k' },
      JSON.stringify(body),
    )
    await gone.until('Once upon')
    gone.socket.destroy()
    while ((await said(session)).some((line) => line.startsWith('open'))) await sleep(10)
    expect(await said(session)).to.deep.equal([
      'interrupted user: a story',
      'interrupted assistant: Once upon',
    ])
    await (await ask(url, body, { 'idempotency-key': 'k' })).text()
    expect(await said(session)).to.deep.equal(['done user: a story', 'done assistant: Once upon a time'])
    expect(prompts[1]).to.deep.equal([{ role: 'user', content: 'a story' }])
  })

  it('may stand in the body, which the provider does not see', async () => {
    const session = await newSession()
    const { url, calls } = await start([jsonAnswer('once')])
    const body = question(session, 'q', { idempotency_key: 'k' })
    await (await ask(url, body)).text()
    const inHeader = await ask(url, question(session, 'q'), { 'idempotency-key': 'k' })
    expect(inHeader.headers.get('idempotent-replayed')).to.equal('true')
    await inHeader.text()
    const inBoth = await ask(url, body, { 'idempotency-key': 'k' })
    expect(inBoth.headers.get('idempotent-replayed')).to.equal('true')
    await inBoth.text()
    expect(await codeOf(await ask(url, body, { 'idempotency-key': 'other' }))).to.deep.equal([
      400,
      'invalid_request',
    ])
    expect(calls).to.deep.equal([{ model: 'gpt-4o', messages: [{ role: 'user', content: 'q' }] }])
  })

  it('is at most 255 bytes of text', async () => {
    const session = await newSession()
    const { url } = await start([jsonAnswer('a')])
    const statusOf = async (idempotency_key: unknown): Promise<number> => {
      const response = await ask(url, question(session, 'q', { idempotency_key }))
      await response.text()
      return response.status
    }
    expect(await statusOf('k'.repeat(255))).to.equal(200)
    for (const wrong of ['k'.repeat(256), 'é'.repeat(128), '', 'a\u0000', '\ud800', 7, {}]) {
      expect(await statusOf(wrong), JSON.stringify(wrong)).to.equal(400)
    }
  })

  it('with "new" makes one session, also when it is sent three times at once', async () => {
    const { url, calls } = await start([jsonAnswer('hello')])
    const key = `once-${Math.random()}`
    const send = (): Promise<Response> => ask(url, question('new', 'hi'), { 'idempotency-key': key })
    const all = await Promise.all([send(), send(), send()])
    for (const response of all) {
      await response.text()
      expect(response.status).to.be.oneOf([200, 409])
    }
    const last = await send()
    expect(last.headers.get('idempotent-replayed')).to.equal('true')
    await last.text()
    expect(calls).to.have.length(1)
    const session = last.headers.get('x-session-id')!
    expect(await said(session)).to.deep.equal(['done user: hi', 'done assistant: hello'])
    const other = await ask(url, question('new', 'another'), { 'idempotency-key': key })
    expect(await codeOf(other)).to.deep.equal([422, 'idempotency_key_reused'])
  })

  it('is no part of regenerate, which asks the last question again and takes its answer’s place', async () => {
    const session = await newSession()
    const { url, calls } = await start([jsonAnswer('worse'), jsonAnswer('better')])
    await (await ask(url, question(session, 'q'))).text()
    const again = await ask(url, { session_id: session, model: 'gpt-4o', regenerate: true })
    expect(await again.text()).to.equal(jsonAnswer('better').text)
    expect(calls[1]).to.deep.equal({ model: 'gpt-4o', messages: [{ role: 'user', content: 'q' }] })
    expect(await said(session)).to.deep.equal(['done user: q', 'done assistant: better'])
  })

  it('that nobody sent leaves two equal questions two turns', async () => {
    const session = await newSession()
    const { url, calls } = await start([jsonAnswer('a')])
    for (let index = 0; index < 2; index++) await (await ask(url, question(session, 'hello'))).text()
    expect(calls).to.have.length(2)
    expect(await said(session)).to.have.length(4)
  })
}

/** Without what the client's own fold of a stream adds: a place for what was parsed, and for a refusal that there was not. */
function told(completion: OpenAI.ChatCompletion): unknown {
  const text = JSON.stringify(completion, (name, value: unknown) =>
    name === 'parsed' || name === 'parsed_arguments' || (name === 'refusal' && value === null)
      ? undefined
      : value,
  )
  return JSON.parse(text)
}
