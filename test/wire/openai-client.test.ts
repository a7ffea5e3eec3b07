import { expect } from 'chai'
import OpenAI from 'openai'
import { createRecorder, type Recording } from '../../lib/completion/recorder.js'
import type { JsonObject } from '../../lib/model/json.js'
import type { FinishedTurn } from '../../lib/model/turn.js'
import type { Answer, Replay } from '../../lib/wire/format.js'
import { openaiChat } from '../../lib/wire/openai.js'
import { aFinishedTurn, startProvider, type Provider } from './provider.js'
import { chatStreams, type StreamFixture } from './streams.js'

const question = { model: 'm', messages: [{ role: 'user' as const, content: 'Hello' }] }

const sseType = 'text/event-stream'

function record(framing: 'sse' | 'json', bytes: Uint8Array): Recording {
  const recorder = createRecorder({ format: openaiChat, framing })
  recorder.write(bytes)
  return recorder.end()
}

const turnOf = (answer: Answer): FinishedTurn => aFinishedTurn(openaiChat.name, answer)

/** The fields of a completion that a turn keeps. */
function kept(completion: OpenAI.ChatCompletion): JsonObject {
  const { id, created, model, object, choices, usage } = completion
  const { message, finish_reason: finish } = choices[0]!
  return { id, created, model, object, message: plain(message), finish, usage: usage ?? null }
}

/** Without what the client's stream fold adds of its own. */
function plain(message: OpenAI.ChatCompletionMessage): JsonObject {
  const { parsed: _parsed, ...fields } = message as OpenAI.ChatCompletionMessage & { parsed?: unknown }
  return JSON.parse(JSON.stringify(fields)) as JsonObject
}

/** The official client gives every message a refusal. */
const withRefusal = (message: JsonObject): JsonObject => ({ refusal: null, ...message })

describe('openai chat, beside the official client', () => {
  let provider: Provider
  let client: OpenAI

  before(async () => {
    provider = await startProvider()
    client = new OpenAI({ apiKey: 'none', baseURL: `${provider.url}/v1`, maxRetries: 0, logLevel: 'off' })
  })

  after(() => provider.stop())

  const streamed = async (body: Uint8Array | string): Promise<OpenAI.ChatCompletion> => {
    provider.answerWith(sseType, body)
    return client.chat.completions.stream(question).finalChatCompletion()
  }

  const created = async (body: string): Promise<OpenAI.ChatCompletion> => {
    provider.answerWith('application/json', body)
    return client.chat.completions.create(question)
  }

  const replayed = async ({ contentType, body }: Replay): Promise<OpenAI.ChatCompletion> =>
    contentType.startsWith(sseType) ? streamed(body) : created(body)

  const official = chatStreams.filter(({ officialFails }) => officialFails === undefined)
  const alone = chatStreams.filter(
    ({ ending, officialFails }) => officialFails !== undefined && ending === 'done',
  )

  for (const { name, bytes } of official) {
    it(`folds ${name} as it does`, async () => {
      const theirs = await streamed(bytes)
      const { answer } = record('sse', bytes)
      expect(withRefusal(answer!.messages[0]!)).to.deep.equal(plain(theirs.choices[0]!.message))
      expect(answer!.finishReason).to.equal(theirs.choices[0]!.finish_reason)
      expect(answer!.usage).to.deep.equal(theirs.usage ?? undefined)
      expect(answer!.choices).to.equal(theirs.choices.length)
    })

    it(`replays ${name} as a stream that it cannot tell from the first`, async () => {
      const first = await streamed(bytes)
      const { answer } = record('sse', bytes)
      expect(kept(await replayed(openaiChat.replay(turnOf(answer!), true)))).to.deep.equal(
        name === 'azure' ? { ...kept(first), ...azureHead } : kept(first),
      )
    })
  }

  /** Azure's last chunk has an empty head; the client's fold takes it as the first chunk's. */
  const azureHead = { id: 'chatcmpl-azure1', created: 1741569952, model: 'gpt-4o-2024-11-20' }

  for (const { name, bytes } of [...official, ...alone]) {
    it(`replays ${name} as JSON, and reads it back as it was`, async () => {
      const { answer } = record('sse', bytes)
      const replay = openaiChat.replay(turnOf(answer!), false)
      const { choices } = await replayed(replay)
      expect(choices[0]!.message).to.deep.equal(answer!.messages[0])
      const again = record('json', Buffer.from(replay.body)).answer
      expect(again).to.deep.equal({ ...answer, choices: 1 })
    })

    it(`replays ${name} as a stream, and reads it back as it was`, () => {
      const { answer } = record('sse', bytes)
      const again = record('sse', Buffer.from(openaiChat.replay(turnOf(answer!), true).body)).answer
      expect(again).to.deep.equal({ ...answer, choices: 1 })
    })
  }

  const failing = (fixture: StreamFixture): boolean => fixture.ending === 'failed'
  for (const { name, bytes } of chatStreams.filter(failing)) {
    it(`refuses ${name} as it does`, async () => {
      const theirs = await streamed(bytes).catch((error: unknown) => error)
      expect(theirs).to.be.instanceOf(Error)
      expect(record('sse', bytes).ending).to.equal('failed')
    })
  }

  it('replays a JSON answer deep-equal, as JSON and as a stream', async () => {
    const body = JSON.stringify({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1741569952,
      model: 'gpt-4o',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'Nul \u0000, lone \ud800, emoji 👩‍👩‍👧‍👦',
            refusal: null,
            annotations: [],
            tool_calls: [
              { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
              { id: 'call_b', type: 'function', function: { name: 'g', arguments: '' } },
            ],
          },
          logprobs: null,
          finish_reason: 'tool_calls',
        },
      ],
      usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
    })
    const first = await created(body)
    const { answer } = record('json', Buffer.from(body))
    const json = await replayed(openaiChat.replay(turnOf(answer!), false))
    expect(json).to.deep.equal(first)
    const stream = await replayed(openaiChat.replay(turnOf(answer!), true))
    expect(JSON.parse(JSON.stringify(withoutParsed(stream)))).to.deep.equal(JSON.parse(JSON.stringify(first)))
  })

  it('records what the client yields as it yields it', async () => {
    for (const { bytes, answer } of official) {
      provider.answerWith(sseType, bytes)
      const recorder = createRecorder({ format: openaiChat, framing: 'sse' })
      const stream = await client.chat.completions.create({ ...question, stream: true })
      for await (const _ of recorder.record(stream)) continue
      expect(recorder.end()).to.deep.equal({ ending: 'done', answer })
    }
  })
})

const withoutParsed = (completion: OpenAI.ChatCompletion): JsonObject => ({
  ...completion,
  choices: completion.choices.map((choice) => Object.assign(choice, { message: plain(choice.message) })),
})
