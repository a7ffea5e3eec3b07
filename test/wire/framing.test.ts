import { expect } from 'chai'
import * as fc from 'fast-check'
import { BodyFraming } from '../../lib/wire/body.js'
import type { FramedEvent, Framing } from '../../lib/wire/framing.js'
import { NdjsonFraming } from '../../lib/wire/ndjson.js'
import { SseFraming } from '../../lib/wire/sse.js'
import { chatStreams } from './streams.js'

/** What a framing finds when these parts are fed, and its end. */
const frame = (framing: Framing, ...parts: readonly (string | Uint8Array)[]): readonly FramedEvent[] => {
  const events = parts.flatMap((part) => framing.push(typeof part === 'string' ? Buffer.from(part) : part))
  return [...events, ...framing.flush()]
}

const sse = (...parts: readonly (string | Uint8Array)[]) =>
  frame(new SseFraming(), ...parts).map(({ event, data }) =>
    event === undefined ? data : `${event}: ${data}`,
  )

/** Cut bytes at these places, taken modulo their number. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].toSorted(
    (a, b) => a - b,
  )
  return sorted.slice(1).map((end, at) => bytes.subarray(sorted[at], end))
}

describe('sse framing', () => {
  it('joins the data lines of one event', () => {
    expect(sse('data: a\ndata:b\ndata\n\n')).to.deep.equal(['a\nb\n'])
  })

  it('takes one space alone from a value', () => {
    expect(sse('data:  two\n\ndata:none\n\n')).to.deep.equal([' two', 'none'])
  })

  it('names an event, and forgets the name with it', () => {
    expect(sse('event: error\ndata: x\n\ndata: y\n\nevent:\ndata: z\n\n')).to.deep.equal([
      'error: x',
      'y',
      'z',
    ])
  })

  it('knows no event without data', () => {
    expect(sse('event: ping\n\nid: 4\n\n: c\n\ndata: x\n\n')).to.deep.equal(['x'])
  })

  it('ignores comments and fields it does not know', () => {
    expect(sse(': c\ndata: a\n: data: no\nfoo: bar\ndatas: no\ndata: b\n\n')).to.deep.equal(['a\nb'])
  })

  it('ends lines with LF, CRLF and CR, mixed', () => {
    expect(sse('data: a\r\n\ndata: b\r\rdata: c\n\r\ndata: d\r\n\r\n')).to.deep.equal(['a', 'b', 'c', 'd'])
  })

  it('makes no blank line of a CRLF that two chunks share', () => {
    expect(sse('data: a\r', '\ndata: b\r', '\n\r', '\n')).to.deep.equal(['a\nb'])
  })

  it('takes an empty chunk between CR and LF for nothing', () => {
    expect(sse('data: a\r', '', '\ndata: b\n\n')).to.deep.equal(['a\nb'])
  })

  it('strips one byte order mark, at the beginning alone', () => {
    expect(sse('\uFEFFdata: a\n\n\uFEFFdata: lost\n\ndata: \uFEFFkept\n\n')).to.deep.equal([
      'a',
      '\uFEFFkept',
    ])
    expect(sse(Buffer.of(0xef), Buffer.of(0xbb), Buffer.of(0xbf), 'data: a\n\n')).to.deep.equal(['a'])
  })

  it('ends the last event with the stream', () => {
    expect(sse('data: a\n\ndata: b')).to.deep.equal(['a', 'b'])
    expect(sse('data: a\n\ndata: b\n')).to.deep.equal(['a', 'b'])
  })

  it('flushes once', () => {
    const framing = new SseFraming()
    framing.push(Buffer.from('data: a'))
    expect(framing.flush()).to.have.length(1)
    expect(framing.flush()).to.deep.equal([])
  })

  it('reads no text into bytes that are no UTF-8', () => {
    expect(sse(Buffer.from('data: \xff\n\n', 'latin1'))).to.deep.equal(['\uFFFD'])
  })

  it('says where an event begins and ends', () => {
    const stream = ': hi\n\nevent: e\n: inside\ndata: é\n\n: between\ndata: x\r\n\r\n'
    expect(frame(new SseFraming(), stream)).to.deep.equal([
      { event: 'e', data: 'é', start: 6, end: 34 },
      { data: 'x', start: 44, end: 55 },
    ])
  })

  it('counts the LF of a CRLF that the next chunk brings to the event before', () => {
    const framing = new SseFraming()
    framing.push(Buffer.from('data: a\r\n\r'))
    expect(framing.boundary).to.equal(10)
    const [next] = framing.push(Buffer.from('\ndata: b\n\n'))
    expect(next?.start).to.equal(11)
  })

  it('overflows at one byte more than the cap, once, and parses nothing from then on', () => {
    const event = 'event: e\ndata: aaaaaaaaaa\n\n'
    const exact = new SseFraming({ eventBytes: event.length })
    expect(frame(exact, event, event)).to.have.length(2)
    expect(exact.overflow).to.equal(false)

    const over = new SseFraming({ eventBytes: event.length - 1 })
    expect(over.push(Buffer.from(`data: b\n\n${event}data: c\n\n`)).map(({ data }) => data)).to.deep.equal([
      'b',
    ])
    expect(over.overflow).to.equal(true)
    expect(frame(over, 'data: d\n\n')).to.deep.equal([])
  })

  it('finds the same events wherever 10 random cuts fall', () => {
    for (const { bytes } of chatStreams) {
      const whole = frame(new SseFraming(), bytes)
      const same = fc.property(fc.array(fc.nat(), { maxLength: 10 }), (places) => {
        const framed = frame(new SseFraming(), ...cut(bytes, places))
        expect(framed.map(({ data, start }) => [data, start])).to.deep.equal(
          whole.map(({ data, start }) => [data, start]),
        )
      })
      fc.assert(same, { numRuns: 25 })
    }
  })

  it('finds whatever was written, in any line ends, with comments between, at any cut', () => {
    const lineEnd = fc.constantFrom('\n', '\r\n', '\r')
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll(/[\r\n]/g, ' '))
    const written = fc.record({ data: fc.array(line, { minLength: 1, maxLength: 3 }), comment: fc.boolean() })
    const same = fc.property(
      fc.array(written, { maxLength: 8 }),
      lineEnd,
      fc.array(fc.nat(), { maxLength: 8 }),
      (events, nl, places) => {
        const text = events.map(
          ({ data, comment }) =>
            `${comment ? `: c${nl}` : ''}${data.map((d) => `data: ${d}${nl}`).join('')}${nl}`,
        )
        const framed = frame(new SseFraming(), ...cut(Buffer.from(text.join('')), places))
        expect(framed.map(({ data }) => data)).to.deep.equal(events.map(({ data }) => data.join('\n')))
      },
    )
    fc.assert(same, { numRuns: 300 })
  })

  it('decides alike on the cap wherever the cuts fall', () => {
    const event = (length: number): string => `data: ${'x'.repeat(length)}\r\n\r\n`
    const same = fc.property(
      fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 6 }),
      (lengths, places) => {
        const bytes = Buffer.from(lengths.map(event).join(''))
        const whole = new SseFraming({ eventBytes: 30 })
        const parts = new SseFraming({ eventBytes: 30 })
        expect(frame(parts, ...cut(bytes, places)).map(({ data }) => data)).to.deep.equal(
          frame(whole, bytes).map(({ data }) => data),
        )
        expect(parts.overflow).to.equal(whole.overflow)
      },
    )
    fc.assert(same, { numRuns: 300 })
  })
})

describe('ndjson framing', () => {
  it('makes an event of each line that is not blank', () => {
    expect(frame(new NdjsonFraming(), '\uFEFF{"a":1}\r\n\n \n{"b"', ':2}\n{"c":3}')).to.deep.equal([
      { data: '{"a":1}', start: 0, end: 12 },
      { data: '{"b":2}', start: 15, end: 23 },
      { data: '{"c":3}', start: 23, end: 30 },
    ])
  })

  it('overflows at one byte more than the cap', () => {
    const exact = new NdjsonFraming({ eventBytes: 4 })
    expect(frame(exact, '1234\n1234')).to.have.length(2)
    const over = new NdjsonFraming({ eventBytes: 4 })
    expect(over.push(Buffer.from('1\n12345\n1\n'))).to.have.length(1)
    expect(over.overflow).to.equal(true)
    expect(frame(over, '1\n')).to.deep.equal([])
  })

  it('finds the same lines wherever the cuts fall', () => {
    const lines = fc.array(fc.json(), { maxLength: 10 })
    const same = fc.property(lines, fc.array(fc.nat(), { maxLength: 8 }), (values, places) => {
      const framed = frame(new NdjsonFraming(), ...cut(Buffer.from(values.join('\n')), places))
      expect(framed.map(({ data }) => data)).to.deep.equal(values)
    })
    fc.assert(same, { numRuns: 200 })
  })
})

describe('body framing', () => {
  it('is one event at the end, without a byte order mark', () => {
    const parts = cut(Buffer.from('\uFEFF{"a":"é😀"}'), [1, 2, 10, 11, 13])
    expect(frame(new BodyFraming(), ...parts)).to.deep.equal([{ data: '{"a":"é😀"}', start: 0, end: 17 }])
  })

  it('is no event when there was nothing', () => {
    expect(frame(new BodyFraming(), '')).to.deep.equal([])
  })

  it('overflows at one byte more than the cap', () => {
    const exact = new BodyFraming({ bytes: 4 })
    expect(frame(exact, '12', '34')).to.have.length(1)
    const over = new BodyFraming({ bytes: 4 })
    expect(frame(over, '12', '345')).to.deep.equal([])
    expect(over.overflow).to.equal(true)
  })
})
