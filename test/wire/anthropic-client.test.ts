import Anthropic, { APIError } from '@anthropic-ai/sdk'
import { expect } from 'chai'
import { createRecorder, type Recording } from '../../lib/completion/recorder.js'
import type { FinishedTurn } from '../../lib/model/turn.js'
import { anthropicMessages } from '../../lib/wire/anthropic.js'
import type { Answer, Replay } from '../../lib/wire/format.js'
import { aFinishedTurn, startProvider, type Provider } from './provider.js'
import { anthropicStreams } from './streams.js'

const question = { model: 'm', max_tokens: 100, messages: [{ role: 'user' as const, content: 'Hello' }] }

const sseType = 'text/event-stream'

function record(framing: 'sse' | 'json', bytes: Uint8Array): Recording {
  const recorder = createRecorder({ format: anthropicMessages, framing })
  recorder.write(bytes)
  return recorder.end()
}

const turnOf = (answer: Answer): FinishedTurn => aFinishedTurn(anthropicMessages.name, answer)

/** What was on the wire: without undefined fields, and without what the client parses for itself. */
function plain(message: Anthropic.Message): unknown {
  const { parsed_output: _parsed, ...fields } = message as Anthropic.Message & { parsed_output?: unknown }
  return JSON.parse(JSON.stringify(fields))
}

describe('anthropic messages, beside the official client', () => {
  let provider: Provider
  let client: Anthropic

  before(async () => {
    provider = await startProvider()
    client = new Anthropic({ apiKey: 'none', baseURL: provider.url, maxRetries: 0, logLevel: 'off' })
  })

  after(() => provider.stop())

  const streamed = async (body: Uint8Array | string): Promise<unknown> => {
    provider.answerWith(sseType, body)
    return plain(await client.messages.stream(question).finalMessage())
  }

  const created = async (body: string): Promise<unknown> => {
    provider.answerWith('application/json', body)
    return plain(await client.messages.create(question))
  }

  const replayed = async ({ contentType, body }: Replay): Promise<unknown> =>
    contentType.startsWith(sseType) ? streamed(body) : created(body)

  const official = anthropicStreams.filter(({ officialFails }) => officialFails === undefined)

  for (const { name, bytes } of official) {
    it(`replays ${name} as a stream and as JSON that it cannot tell from the first`, async () => {
      const first = await streamed(bytes)
      const { answer } = record('sse', bytes)
      expect(await replayed(anthropicMessages.replay(turnOf(answer!), true))).to.deep.equal(first)
      expect(await replayed(anthropicMessages.replay(turnOf(answer!), false))).to.deep.equal(first)
    })

    it(`replays ${name} and reads it back as it was`, () => {
      const { answer } = record('sse', bytes)
      for (const framing of ['sse', 'json'] as const) {
        const { body } = anthropicMessages.replay(turnOf(answer!), framing === 'sse')
        expect(record(framing, Buffer.from(body))).to.deep.equal({ ending: 'done', answer })
      }
    })

    it(`replays ${name} in deltas that say everything`, async () => {
      const { answer } = record('sse', bytes)
      const saidBy = async (body: Uint8Array | string): Promise<string> => {
        provider.answerWith(sseType, body)
        let text = ''
        const stream = client.messages.stream(question).on('text', (delta) => (text += delta))
        await stream.finalMessage()
        return text
      }
      const { body } = anthropicMessages.replay(turnOf(answer!), true)
      expect(await saidBy(body)).to.equal(await saidBy(bytes))
    })
  }

  it('replays a JSON answer deep-equal, as JSON and as a stream', async () => {
    const body = JSON.stringify({
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'claude-opus-4-5',
      content: [
        { type: 'text', text: 'Nul \u0000, lone \ud800, emoji 👩‍👩‍👧‍👦', citations: null },
        { type: 'tool_use', id: 'toolu_1', name: 'f', input: { deep: { list: [1, 'two', null, true] } } },
      ],
      container: null,
      stop_details: null,
      stop_reason: 'tool_use',
      stop_sequence: null,
      usage: { input_tokens: 3, output_tokens: 5, cache_creation: { ephemeral_5m_input_tokens: 0 } },
    })
    const first = await created(body)
    const { answer } = record('json', Buffer.from(body))
    expect(await replayed(anthropicMessages.replay(turnOf(answer!), false))).to.deep.equal(first)
    expect(await replayed(anthropicMessages.replay(turnOf(answer!), true))).to.deep.equal(first)
  })

  it('records what the client yields as it yields it', async () => {
    for (const { bytes, answer } of official) {
      provider.answerWith(sseType, bytes)
      const recorder = createRecorder({ format: anthropicMessages, framing: 'sse' })
      const stream = await client.messages.create({ ...question, stream: true })
      for await (const _ of recorder.record(stream)) continue
      expect(recorder.end()).to.deep.equal({ ending: 'done', answer })
    }
  })

  it('refuses an error in the stream as it does', async () => {
    const { bytes } = anthropicStreams.find(({ name }) => name === 'anthropic-error')!
    expect(await streamed(bytes).catch((error: unknown) => error)).to.be.instanceOf(APIError)
    expect(record('sse', bytes).ending).to.equal('failed')
  })

  it('fails a recording when the client throws what the provider refused', async () => {
    const { bytes } = anthropicStreams.find(({ name }) => name === 'anthropic-error')!
    provider.answerWith(sseType, bytes)
    const recorder = createRecorder({ format: anthropicMessages, framing: 'sse' })
    const stream = await client.messages.create({ ...question, stream: true })
    const all = async (): Promise<void> => {
      for await (const _ of recorder.record(stream)) continue
    }
    expect(await all().catch((error: unknown) => error)).to.be.instanceOf(APIError)
    expect(recorder.end().ending).to.equal('failed')
  })
})
