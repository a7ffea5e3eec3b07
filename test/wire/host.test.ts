import { expect } from 'chai'

import { createRecorder, type Recording } from '../../lib/completion/recorder.js'
import { InvalidRequest, Misconfigured } from '../../lib/model/errors.js'
import { hostFormat, type HostEvent, type HostFormatOptions } from '../../lib/wire/host.js'

interface Line {
  readonly token?: string
  readonly whole?: string
  readonly done?: boolean
  readonly failed?: string
  readonly cost?: { cents: number }
}

const aFormat = (more: Partial<HostFormatOptions<Line>> = {}) =>
  hostFormat<Line>({
    name: 'support-chat',
    read: (body) => ({ question: body.message as string }),
    inject: false,
    framing: 'ndjson',
    event: ({ token, whole, done, failed, cost }): HostEvent => ({
      delta: token,
      replace: whole,
      end: done,
      error: failed,
      usage: cost,
    }),
    ...more,
  })

const asText = hostFormat<string>({
  name: 'text',
  read: () => ({ question: 'hi' }),
  inject: false,
  framing: 'text',
  event: (delta) => ({ delta }),
})

/** What is recorded of an answer that arrives a byte at a time. */
function recorded(text: string, format = aFormat(), end: 'end' | 'abort' = 'end'): Recording {
  const recorder = createRecorder({ format, framing: format.framing ?? 'json' })
  for (const byte of Buffer.from(text)) recorder.write(Buffer.of(byte))
  return recorder[end]()
}
const said = ({ answer }: Recording): unknown => answer?.messages[0]?.content

describe('hostFormat', () => {
  it('reads the question, the model and the system message where the host says they are', () => {
    const format = aFormat({
      read: ({ q, m }) => ({ question: q as string, model: m as string, system: 's' }),
    })
    expect(format.read({ q: 'hi', m: 'small' })).to.deep.equal({
      system: [{ role: 'system', content: 's' }],
      messages: [{ role: 'user', content: 'hi' }],
      stream: false,
      model: 'small',
    })
  })

  it('takes whole messages for the question', () => {
    const messages = [{ role: 'user', content: 'a' }]
    expect(aFormat({ read: () => ({ question: messages }) }).read({}).messages).to.deep.equal(messages)
  })

  it("takes the core's own question, which has no body of the host's", () => {
    const messages = [{ role: 'user', content: 'a' }]
    expect(aFormat().read({ messages }).messages).to.deep.equal(messages)
  })

  for (const body of [{}, { message: '' }]) {
    it(`refuses ${JSON.stringify(body)}, which asks nothing`, () => {
      expect(() => aFormat().read(body)).to.throw(InvalidRequest, 'asks nothing')
    })
  }

  it('leaves the body as it is, or puts the prompt where the host wants it', () => {
    const body = { message: 'b' }
    const prompt = {
      system: [{ role: 'system', content: 's' }],
      messages: [{ role: 'user', content: 'a' }],
    }
    expect(aFormat().inject(body, prompt)).to.equal(body)
    const format = aFormat({ inject: (given, messages) => ({ ...given, past: messages.length }) })
    expect(format.inject(body, prompt)).to.deep.equal({ message: 'b', past: 2 })
  })

  it('collects pieces, with what they cost', () => {
    const recording = recorded('{"token":"Hé"}\n{"token":"llo"}\n{"cost":{"cents":2}}\n')
    expect(recording.ending).to.equal('done')
    expect(said(recording)).to.equal('Héllo')
    expect(recording.answer?.usage).to.deep.equal({ cents: 2 })
  })

  it('takes an answer that is sent anew each time', () => {
    expect(said(recorded('{"whole":"a"}\n{"whole":"a b"}\n'))).to.equal('a b')
  })

  it('ends at the last word', () => {
    expect(said(recorded('{"token":"a"}\n{"done":true}\n{"token":"b"}\n'))).to.equal('a')
  })

  it('fails for an error inside an answer', () => {
    expect(recorded('{"token":"a"}\n{"failed":"no quota"}\n').ending).to.equal('failed')
  })

  it('takes one that ends without a last word for whole, unless it must have one', () => {
    expect(recorded('{"token":"a"}\n').ending).to.equal('done')
    expect(recorded('{"token":"a"}\n', aFormat({ mustEnd: true })).ending).to.equal('interrupted')
    expect(recorded('{"token":"a"}\n{"done":true}\n', aFormat({ mustEnd: true })).ending).to.equal('done')
  })

  it('keeps the part of one that breaks off', () => {
    for (const [text, format] of [
      ['{"token":"a"}\n{"tok', aFormat()],
      ['a', asText],
    ] as const) {
      const recording = recorded(text, format, 'abort')
      expect(recording.ending).to.equal('interrupted')
      expect(said(recording)).to.equal('a')
    }
  })

  it('reads text as text, cut anywhere, also when it looks like JSON', () => {
    expect(said(recorded('\uFEFF42 😀 {"token":1}', asText))).to.equal('42 😀 {"token":1}')
  })

  it('reads a JSON body whole', () => {
    const recording = recorded('{"whole":"yes"}', aFormat({ framing: 'json', mustEnd: true }))
    expect(recording.ending).to.equal('done')
    expect(said(recording)).to.equal('yes')
    expect(recorded('{"whole', aFormat({ framing: 'json' })).ending).to.equal('failed')
  })

  it("gets an SSE event's name", () => {
    const format = aFormat({
      framing: 'sse',
      event: (data, name) => (name === 'piece' ? { delta: data.token } : undefined),
    })
    expect(said(recorded('event: ping\ndata: {}\n\nevent: piece\ndata: {"token":"a"}\n\n', format))).to.equal(
      'a',
    )
  })

  const wrong: [string, object, string][] = [
    ['no event', { event: undefined }, 'hostFormat needs event'],
    ['no word on injection', { inject: undefined }, 'hostFormat needs inject: false or a function'],
    ['an unknown framing', { framing: 'xml' }, 'framing must be "sse" or "ndjson" or "json" or "text"'],
    ['a slip', { frame: 'sse' }, 'frame is not a known field'],
  ]
  for (const [what, more, words] of wrong) {
    it(`refuses ${what}`, () => {
      expect(() => aFormat(more)).to.throw(Misconfigured, words)
    })
  }
})
