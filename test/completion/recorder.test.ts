import { expect } from 'chai'
import { createRecorder, type Recorder, type Recording } from '../../lib/completion/recorder.js'
import { openaiChat } from '../../lib/wire/openai.js'
import { SseFraming } from '../../lib/wire/sse.js'
import type { Format } from '../../lib/wire/format.js'
import { anthropicMessages } from '../../lib/wire/anthropic.js'
import { anthropicStreams, chatStreams, streamNamed } from '../wire/streams.js'

const recorderOf = (framing: 'sse' | 'ndjson' | 'json' | 'text' = 'sse', limits = {}): Recorder =>
  createRecorder({ format: openaiChat, framing, limits })

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
const saying = (content: string, finish: string | null = null) => ({
  id: 'c',
  choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: finish }],
})
const said = event(saying('hi'))

/** Where events may be parted, found with the whole stream in hand. */
function boundariesOf(bytes: Buffer): { all: ReadonlySet<number>; lastWord: number } {
  const all = new Set([0])
  let lastWord = bytes.length
  const line = /[^\r\n]*(\r\n|\r|\n|$)/g
  const text = bytes.toString('latin1')
  let begun = false
  let start = 0
  for (let match = line.exec(text); match && match.index < text.length; match = line.exec(text)) {
    const [whole, ending = ''] = match
    const isBlank = whole === ending
    if (/^data: ?(\[DONE\]|\{"error")|^event: (error|message_stop)/.test(whole))
      lastWord = Math.min(lastWord, start)
    if (!isBlank && !whole.startsWith(':')) begun = true
    if (begun && !isBlank) continue
    begun = false
    start = match.index + whole.length
    all.add(start)
    if (ending === '\r\n') all.add(start - 1)
  }
  return { all, lastWord }
}

/** Feed the parts, and check each time what may pass: never less than before, at a boundary, nothing of the last word. */
function play(format: Format, parts: readonly Buffer[], known: ReturnType<typeof boundariesOf>): Recording {
  const recorder = createRecorder({ format, framing: 'sse' })
  let passed = 0
  let fed = 0
  for (const part of parts) {
    fed += part.length
    const passing = recorder.write(part)
    if (passing < passed || passing > fed) throw new Error(`${passing} may pass, after ${passed} of ${fed}`)
    passed = passing
    if (recorder.outcome === 'error') {
      if (passing !== fed - 1) throw new Error(`an error waits at ${passing} of ${fed}`)
    } else if (!known.all.has(passing) || passing > known.lastWord) throw new Error(`cut at ${passing}`)
  }
  return recorder.end()
}

describe('recorder', () => {
  const recorded = [
    ...chatStreams.map((fixture) => Object.assign({ format: openaiChat }, fixture)),
    ...anthropicStreams.map((fixture) => Object.assign({ format: anthropicMessages }, fixture)),
  ]
  for (const { format, name, bytes, ending, answer } of recorded) {
    describe(name, () => {
      const known = boundariesOf(bytes)
      const expected = answer
        ? { ending, answer }
        : { ending, error: 'The answer is an error or cannot be read.' }

      it('reads the answer from one chunk', () => {
        expect(play(format, [bytes], known)).to.deep.equal(expected)
      })

      it('reads the same answer byte by byte', () => {
        const parts = Array.from(bytes, (byte) => Buffer.of(byte))
        expect(play(format, parts, known)).to.deep.equal(expected)
      })

      it('reads the same answer cut at every byte, and lets no half event and no last word pass', () => {
        const whole = JSON.stringify(play(format, [bytes], known))
        for (let at = 1; at < bytes.length; at += 1) {
          const recording = play(format, [bytes.subarray(0, at), bytes.subarray(at)], known)
          if (JSON.stringify(recording) !== whole) expect(recording).to.deep.equal(expected, `cut at ${at}`)
        }
      })
    })
  }

  it('parts what passes from what waits at the last word', () => {
    const bytes = streamNamed('openai-plain')
    const recorder = recorderOf()
    const passing = recorder.write(bytes)
    expect(recorder.outcome).to.equal('end')
    expect(bytes.toString('utf8', passing)).to.equal('data: [DONE]\n\n')
  })

  it('leaves room for a comment between what passes and what waits', () => {
    for (const { format, name, bytes } of recorded) {
      const first = createRecorder({ format, framing: 'sse' })
      const passing = first.write(bytes)
      const second = createRecorder({ format, framing: 'sse' })
      second.write(bytes.subarray(0, passing))
      second.write(Buffer.from(': not stored\n\n'))
      second.write(bytes.subarray(passing))
      expect(second.end()).to.deep.equal(first.end(), name)
    }
  })

  it('keeps waiting whatever follows the last word', () => {
    const recorder = recorderOf()
    const passing = recorder.write(Buffer.from(`${said}data: [DONE]\n\n`))
    expect(recorder.write(Buffer.from(`: more\n\n${said}`))).to.equal(passing)
    expect(recorder.end().answer?.messages).to.deep.equal([{ role: 'assistant', content: 'hi' }])
  })

  it('lets a comment pass before the event that it precedes is whole', () => {
    const recorder = recorderOf()
    expect(recorder.write(Buffer.from(': ping\ndata: {"id"'))).to.equal(7)
  })

  it('lets everything pass once it has ended', () => {
    const recorder = recorderOf()
    recorder.write(Buffer.from(said))
    recorder.end()
    expect(recorder.write(Buffer.from('data'))).to.equal(said.length + 4)
  })

  it('does not keep the chunks that a writer may use again', () => {
    const recorder = recorderOf()
    const chunk = Buffer.from(said.slice(0, 30))
    recorder.write(chunk)
    chunk.fill(0x20)
    recorder.write(Buffer.from(said.slice(30)))
    expect(recorder.answer()?.messages).to.deep.equal([{ role: 'assistant', content: 'hi' }])
  })

  describe('endings', () => {
    it('keeps the first of end and abort', () => {
      const ended = recorderOf()
      ended.write(Buffer.from(event(saying('hi', 'stop'))))
      expect(ended.end()).to.equal(ended.abort())
      expect(ended.abort().ending).to.equal('done')

      const aborted = recorderOf()
      aborted.write(Buffer.from(event(saying('hi', 'stop'))))
      expect(aborted.abort()).to.equal(aborted.end())
      expect(aborted.end().ending).to.equal('interrupted')
    })

    it('is interrupted with what was said', () => {
      const recorder = recorderOf()
      recorder.write(Buffer.from(`${said}data: {"id":"c","cho`))
      const { ending, answer } = recorder.abort()
      expect(ending).to.equal('interrupted')
      expect(answer?.messages).to.deep.equal([{ role: 'assistant', content: 'hi' }])
    })

    it('waits for no results of calls that were cut off', () => {
      const recorder = recorderOf()
      recorder.write(streamNamed('openai-parallel-calls').subarray(0, 900))
      expect(recorder.answer()?.calls).to.deep.equal(['call_a'])
      expect(recorder.abort().answer?.calls).to.deep.equal([])
    })

    it('is done when the client leaves after the last word', () => {
      const recorder = recorderOf()
      recorder.write(Buffer.from(`${said}data: [DONE]\n\n`))
      expect(recorder.abort().ending).to.equal('done')
    })

    it('is interrupted without an answer when the client leaves before a word', () => {
      expect(recorderOf().abort()).to.deep.equal({ ending: 'interrupted' })
    })

    it('fails when nothing was answered', () => {
      const recorder = recorderOf()
      recorder.write(Buffer.from('data: [DONE]\n\n'))
      expect(recorder.end()).to.deep.equal({ ending: 'failed', error: 'Nothing was answered.' })
    })

    it('takes an event that was cut off for the end of the stream, not for an error', () => {
      const recorder = recorderOf()
      recorder.write(Buffer.from(`${said}data: {"id":"c","cho`))
      expect(recorder.end().ending).to.equal('interrupted')
    })

    it('fails on a refusal without its last blank line', () => {
      const recorder = recorderOf()
      recorder.write(Buffer.from(`${said}data: {"error":{"message":"no"}}`))
      expect(recorder.end().ending).to.equal('failed')
    })

    it('fails on what nobody can read, and lets it pass but for the last byte', () => {
      const recorder = recorderOf()
      expect(recorder.write(Buffer.from('data: <html>\n\n'))).to.equal(13)
      expect(recorder.outcome).to.equal('error')
      expect(recorder.write(Buffer.from(said))).to.equal(13 + said.length)
      expect(recorder.end().ending).to.equal('failed')
    })
  })

  describe('caps', () => {
    const long = event(saying('x'.repeat(100)))

    it('takes an event as long as the cap', () => {
      const recorder = recorderOf('sse', { eventBytes: long.length })
      expect(recorder.write(Buffer.from(long))).to.equal(long.length)
      expect(recorder.outcome).to.equal('more')
    })

    it('gives up at one byte more, and lets everything pass but the last byte', () => {
      for (const at of [1, long.length - 1, long.length]) {
        const recorder = recorderOf('sse', { eventBytes: long.length - 1 })
        recorder.write(Buffer.from(long.slice(0, at)))
        expect(recorder.write(Buffer.from(`${long.slice(at)}more`))).to.equal(long.length + 3)
        expect(recorder.outcome).to.equal('overflow')
        expect(recorder.end()).to.deep.equal({
          ending: 'failed',
          error: 'The answer is larger than it may be.',
        })
      }
    })

    it('holds no more than the cap while an event is unfinished', () => {
      const recorder = recorderOf('sse', { eventBytes: 64 })
      let held = 0
      for (let fed = 1; fed <= 200; fed += 1) held = Math.max(held, fed - recorder.write(Buffer.from('d')))
      expect(held).to.equal(64)
    })

    it('counts the bytes of a whole answer', () => {
      const bytes = Buffer.from(`${long}data: [DONE]\n\n`)
      const whole = recorderOf('sse', { bytes: bytes.length })
      whole.write(bytes)
      expect(whole.end().ending).to.equal('done')

      const larger = recorderOf('sse', { bytes: bytes.length - 1 })
      larger.write(bytes)
      expect(larger.outcome).to.equal('overflow')
    })

    it('keeps what a parsed item said, whatever its host does with it later', () => {
      const recorder = recorderOf('sse')
      const detail = { type: 'reasoning.text', text: 'why' }
      const [choice] = saying('so', 'stop').choices
      const item = { choices: [{ ...choice, delta: { content: 'so', reasoning_details: [detail] } }] }
      recorder.take(item)
      detail.text = 'changed'
      const [message] = recorder.end().answer!.messages
      expect(message!['reasoning_details']).to.deep.equal([{ type: 'reasoning.text', text: 'why' }])
    })

    it('counts the text of parsed items', () => {
      const recorder = recorderOf('sse', { bytes: 1_000 })
      for (let count = 0; count < 20; count += 1) recorder.take(saying('x'.repeat(100)))
      expect(recorder.end().ending).to.equal('failed')
    })
  })

  describe('bodies', () => {
    const body = {
      id: 'c',
      object: 'chat.completion',
      created: 7,
      model: 'm',
      choices: [{ index: 0, message: { role: 'assistant', content: 'hé' }, finish_reason: 'stop' }],
      usage: { total_tokens: 3 },
    }
    const bytes = Buffer.from(JSON.stringify(body))

    it('holds the last byte of a JSON answer, however it is cut', () => {
      for (let at = 0; at <= bytes.length; at += 1) {
        const recorder = recorderOf('json')
        expect(recorder.write(bytes.subarray(0, at))).to.equal(Math.max(0, at - 1))
        expect(recorder.write(bytes.subarray(at))).to.equal(bytes.length - 1)
        expect(recorder.end()).to.deep.equal({
          ending: 'done',
          answer: {
            messages: [{ role: 'assistant', content: 'hé' }],
            calls: [],
            model: 'm',
            responseId: 'c',
            responseTime: 7,
            finishReason: 'stop',
            usage: { total_tokens: 3 },
            choices: 1,
          },
        })
      }
    })

    it('fails on half a JSON answer', () => {
      const recorder = recorderOf('json')
      recorder.write(bytes.subarray(0, 40))
      expect(recorder.end().ending).to.equal('failed')
    })

    it('fails on an error in place of an answer', () => {
      const recorder = recorderOf('json')
      recorder.write(Buffer.from('{"error":{"message":"no"}}'))
      expect(recorder.end().ending).to.equal('failed')
    })

    it('gives up on a body that is larger than the cap by one byte', () => {
      const whole = recorderOf('json', { bytes: bytes.length })
      whole.write(bytes)
      expect(whole.end().ending).to.equal('done')

      const larger = recorderOf('json', { bytes: bytes.length - 1 })
      expect(larger.write(bytes)).to.equal(bytes.length - 1)
      expect(larger.outcome).to.equal('overflow')
    })

    it('reads lines of JSON and holds the last byte', () => {
      const lines = `${JSON.stringify(saying('hi'))}\n${JSON.stringify(saying(' you', 'stop'))}`
      const recorder = recorderOf('ndjson')
      expect(recorder.write(Buffer.from(lines))).to.equal(lines.length - 1)
      expect(recorder.end().answer?.messages).to.deep.equal([{ role: 'assistant', content: 'hi you' }])
    })
  })

  describe('record', () => {
    async function* streamOf(...items: unknown[]): AsyncGenerator {
      yield* items
    }

    const collect = async (items: AsyncIterable<unknown>): Promise<unknown[]> => {
      const all = []
      for await (const item of items) all.push(item)
      return all
    }

    it('folds parsed items, text and bytes as they pass, unchanged', async () => {
      const recorder = recorderOf()
      const items = [saying('a'), event(saying('b')), Buffer.from(event(saying('c', 'stop')))]
      expect(await collect(recorder.record(streamOf(...items)))).to.deep.equal(items)
      const { ending, answer } = recorder.end()
      expect(ending).to.equal('done')
      expect(answer?.messages).to.deep.equal([{ role: 'assistant', content: 'abc' }])
    })

    it('reads an event that two strings share', async () => {
      const recorder = recorderOf()
      await collect(recorder.record(streamOf(said.slice(0, 9), said.slice(9), 'data: [DONE]\n\n')))
      expect(recorder.end().ending).to.equal('done')
    })

    it('takes items that hold themselves', async () => {
      const knot: Record<string, unknown> = saying('a', 'stop')
      for (const name of ['one', 'two', 'three']) knot[name] = knot
      const recorder = recorderOf()
      await collect(recorder.record(streamOf(knot, 7, null, undefined)))
      expect(recorder.end().ending).to.equal('done')
    })

    it('is interrupted when nobody wants more', async () => {
      const recorder = recorderOf()
      for await (const _ of recorder.record(streamOf(saying('a'), saying('b', 'stop')))) break
      expect(recorder.end().ending).to.equal('interrupted')
      expect(recorder.answer()?.messages).to.deep.equal([{ role: 'assistant', content: 'a' }])
    })

    it('fails when the stream throws, and throws the same', async () => {
      const fault = new Error('refused')
      async function* failing(): AsyncGenerator {
        yield saying('a')
        throw fault
      }
      const recorder = recorderOf()
      const thrown = await collect(recorder.record(failing())).catch((error: unknown) => error)
      expect(thrown).to.equal(fault)
      expect(recorder.end().ending).to.equal('failed')
    })

    it('is interrupted when the stream was aborted', async () => {
      async function* aborted(): AsyncGenerator {
        yield saying('a')
        throw new DOMException('gone', 'AbortError')
      }
      const recorder = recorderOf()
      await collect(recorder.record(aborted())).catch(() => undefined)
      expect(recorder.end().ending).to.equal('interrupted')
    })
  })

  it('passes nothing of an event that a boundary test of its own would call half', () => {
    const bytes = streamNamed('crlf')
    const whole = new SseFraming().push(bytes).map(({ data }) => data)
    for (let at = 1; at < bytes.length; at += 1) {
      const passing = recorderOf().write(bytes.subarray(0, at))
      const framing = new SseFraming()
      const events = [...framing.push(bytes.subarray(0, passing)), ...framing.flush()].map(({ data }) => data)
      expect(events).to.deep.equal(whole.slice(0, events.length))
    }
  })
})
