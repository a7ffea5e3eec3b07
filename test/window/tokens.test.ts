import { expect } from 'chai'
import {
  array,
  assert,
  asyncProperty,
  constantFrom,
  integer,
  oneof,
  property,
  string,
  tuple,
} from 'fast-check'
import type { Tiktoken } from 'tiktoken/lite'
import type { Message } from '../../lib/model/message.js'
import { slicesOf } from '../../lib/window/slices.js'
import { LocalTokenizer, type Encoding } from '../../lib/window/tokenizer.js'
import { primingTokens, TokenCounter } from '../../lib/window/tokens.js'
import { assistant, calls, recordedConversations, result, user } from './conversation.js'

const tokenizer = new LocalTokenizer()
const counter = new TokenCounter(tokenizer, 'o200k_base')

const cookbook: readonly Message[] = [
  {
    role: 'system',
    content:
      'You are a helpful, pattern-following assistant that translates corporate jargon into plain English.',
  },
  { role: 'system', name: 'example_user', content: 'New synergies will help drive top-line growth.' },
  {
    role: 'system',
    name: 'example_assistant',
    content: 'Things working well together will increase revenue.',
  },
  {
    role: 'system',
    name: 'example_user',
    content:
      "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
  },
  {
    role: 'system',
    name: 'example_assistant',
    content: "Let's talk later when we're less busy about how to do better.",
  },
  user("This late pivot means we don't have time to boil the ocean for the client deliverable."),
]

const weatherTool = {
  type: 'function',
  function: {
    name: 'get_current_weather',
    description: 'Get the current weather in a given location',
    parameters: {
      type: 'object',
      properties: {
        location: { type: 'string', description: 'The city and state, e.g. San Francisco, CA' },
        unit: {
          type: 'string',
          description: 'The unit of temperature to return',
          enum: ['celsius', 'fahrenheit'],
        },
      },
      required: ['location'],
    },
  },
}

const weatherChat: readonly Message[] = [
  {
    role: 'system',
    content: 'You are a helpful assistant that can answer to questions about the weather.',
  },
  user("What's the weather like in San Francisco?"),
]

async function promptTokens(
  encoding: Encoding,
  messages: readonly Message[],
  tools: readonly unknown[] = [],
) {
  const { counted, tools: countTools } = counting(encoding)
  return (await counted(messages)) + (await countTools(tools)) + primingTokens
}

function counting(encoding: Encoding) {
  const each = new TokenCounter(tokenizer, encoding)
  return {
    tools: (tools: readonly unknown[]) => each.tools(tools),
    counted: async (messages: readonly Message[]) => {
      const held = await each.counted(messages.map((message) => ({ message })))
      return held.reduce((sum, { tokens = 0 }) => sum + tokens, 0)
    },
  }
}

const plainText = array(
  tuple(
    oneof(
      string({ unit: 'grapheme', maxLength: 12 }),
      string({ unit: 'binary', maxLength: 12 }),
      constantFrom(
        "don't",
        "it'S",
        'über',
        '你好，世界。',
        'これは「本」です',
        'foo(bar)/baz',
        '3.14',
        '0x1F',
        '{"a":"b1"}',
      ),
      constantFrom(
        '👨‍👩‍👧',
        'e\u0301',
        'नमस्ते',
        'שלום',
        '\u202f \u0085',
        '\u2003 \u3000',
        '\u00a0  \u2028',
        '\ufeff',
        '\ud800',
        '--',
        "''",
        '\r\n',
        '/\n/',
        'ABCdef',
      ),
    ),
    constantFrom('x', '9', '!', '。', 'é', '’', '\u0301', '"', "'"),
    constantFrom(' ', ' ', '  ', ' \n', ' \n\n  ', '\t', ' \r\n', ', ', '. ', ' /'),
  ),
  { maxLength: 40 },
)

/** The worst that a client can send, as far as anybody found. */
const hostile = {
  'one letter': 'a'.repeat(102_400),
  'Chinese characters': Array.from({ length: 96_000 }, (_, at) =>
    String.fromCharCode(0x4e_00 + ((at * 7919) % 20_000)),
  ).join(''),
  spaces: ' '.repeat(200_000),
  emoji: '😀'.repeat(40_000),
  'emoji behind letters': `xxx${'😀'.repeat(1000)}`,
  'mixed spaces': ' \u2003'.repeat(50_000),
  families: '👨‍👩‍👧'.repeat(10_000),
  signs: '!'.repeat(100_000),
}

describe('slices', () => {
  it('give the text back', () => {
    assert(
      property(string({ unit: 'binary', maxLength: 5000 }), integer({ min: 1, max: 300 }), (text, times) => {
        expect([...slicesOf(text.repeat(times).slice(0, 20_000))].join('')).to.equal(
          text.repeat(times).slice(0, 20_000),
        )
      }),
    )
  })

  for (const [name, text] of Object.entries(hostile)) {
    it(`stay short in ${name} and part no surrogate pair`, () => {
      for (const slice of slicesOf(text)) {
        expect(slice.length).to.be.at.most(3000)
        expect(Buffer.from(slice).toString()).to.equal(slice)
      }
    })

    it(`cut every run of ${name}, since one call takes the square of its length`, () => {
      const longest = Math.max(...Array.from(slicesOf(text), (slice) => Buffer.byteLength(slice)))
      expect(longest).to.be.at.most(400)
    })
  }
})

describe('tokens', () => {
  const whole = new Map<Encoding, Tiktoken>()
  before('load', async () => {
    whole.set('o200k_base', (await import('../../lib/window/o200k.js')).o200k)
    whole.set('cl100k_base', (await import('../../lib/window/cl100k.js')).cl100k)
  })

  it("counts the cookbook's example as OpenAI does", async () => {
    expect(await promptTokens('o200k_base', cookbook)).to.equal(124)
    expect(await promptTokens('cl100k_base', cookbook)).to.equal(129)
  })

  it("counts the cookbook's tool definitions as OpenAI does", async () => {
    expect(await promptTokens('o200k_base', weatherChat, [weatherTool])).to.equal(101)
    expect(await promptTokens('cl100k_base', weatherChat, [weatherTool])).to.equal(105)
  })

  it('loads an encoding when it is first asked for', async () => {
    const fresh = new LocalTokenizer()
    expect(fresh.isLoaded('o200k_base')).to.equal(false)
    await fresh.load('o200k_base')
    expect(fresh.isLoaded('o200k_base')).to.equal(true)
    expect(fresh.isLoaded('cl100k_base')).to.equal(false)
  })

  for (const encoding of ['o200k_base', 'cl100k_base'] as const) {
    it(`counts plain text exactly with ${encoding}`, async () => {
      const each = new TokenCounter(tokenizer, encoding)
      await assert(
        asyncProperty(plainText, integer({ min: 1, max: 40 }), async (parts, times) => {
          const text = parts.flat().join('').repeat(times)
          expect(await each.text(text)).to.equal(whole.get(encoding)!.encode_ordinary(text).length)
        }),
        { numRuns: 2000 },
      )
    })
  }

  it('takes special tokens for text', async () => {
    expect(await counter.text('<|endoftext|>')).to.equal(7)
  })

  it('counts repeated letters, signs and spaces exactly although it cuts them', async () => {
    for (const unit of ['a', ' ', '!', '=', '1', '-']) {
      const text = unit.repeat(6000)
      expect(await counter.text(text), unit).to.equal(whole.get('o200k_base')!.encode_ordinary(text).length)
    }
  })

  it('lets the event loop turn while it counts', async () => {
    let turns = 0
    let counting = true
    const turn = (): void => {
      turns++
      if (counting) setImmediate(turn)
    }
    setImmediate(turn)
    await counter.text(hostile['Chinese characters'])
    counting = false
    expect(turns).to.be.above(5)
  })

  it('is near tiktoken on the whole text of the recorded conversations, and never under', async () => {
    const tiktoken = whole.get('o200k_base')!
    for (const { id, messages } of recordedConversations()) {
      const texts = [JSON.stringify(messages), ...messages.map(({ content }) => String(content))]
      for (const text of texts) {
        const exact = tiktoken.encode_ordinary(text).length
        const off = (await counter.text(text)) - exact
        expect(off, `${id}: ${text.slice(0, 60)}`).to.be.within(-exact / 1000, exact / 200)
      }
    }
  })

  it('counts a message apart from its neighbours, so that the count can be stored', async () => {
    const counted = await counter.counted([{ message: user('hi'), tokens: 99 }, { message: user('hi') }])
    expect(counted.map(({ tokens }) => tokens)).to.deep.equal([99, 5])
  })

  it('counts what a tool call says but not its id', async () => {
    const one = await counter.message(calls('c1'))
    expect(await counter.message(calls('a-much-longer-id-than-the-other'))).to.equal(one)
    expect(await counter.message(calls('c1', 'c2'))).to.equal(one + (one - 4))
    expect(await counter.message(result('c1'))).to.equal(4 + (await counter.text('result of c1')))
  })

  it('counts text parts as their text', async () => {
    const parts = { role: 'user', content: [{ type: 'text', text: 'Hello there' }] }
    expect(await counter.message(parts)).to.equal(await counter.message(user('Hello there')))
  })

  it('counts images, sound and files flat and never their data', async () => {
    const data = `data:image/png;base64,${'QUJD'.repeat(50_000)}`
    const tokens = (part: object) => counter.message({ role: 'user', content: [part] })
    expect(await tokens({ type: 'image_url', image_url: { url: data } })).to.equal(4 + 765)
    expect(await tokens({ type: 'image_url', image_url: { url: data, detail: 'low' } })).to.equal(4 + 85)
    expect(await tokens({ type: 'image', source: { type: 'base64', data } })).to.equal(4 + 765)
    expect(await tokens({ type: 'input_audio', input_audio: { data, format: 'wav' } })).to.equal(4 + 500)
    expect(await tokens({ type: 'file', file: { file_data: data } })).to.equal(4 + 2000)
    const claude = new TokenCounter(tokenizer, 'o200k_base', { image: 1600 })
    expect(await claude.message({ role: 'user', content: [{ type: 'image', source: { data } }] })).to.equal(
      1604,
    )
  })

  it('counts an image by the size that its data tells', async () => {
    const tokens = (part: object) => counter.message({ role: 'user', content: [part] })
    const png = (width: number, height: number): string => {
      const head = Buffer.alloc(33)
      head.write('\x89PNG\r\n\x1a\n', 'latin1')
      head.writeUInt32BE(width, 16)
      head.writeUInt32BE(height, 20)
      return head.toString('base64')
    }
    const url = `data:image/png;base64,${png(2048, 4096)}`
    expect(await tokens({ type: 'image_url', image_url: { url } })).to.equal(4 + 1105)
    expect(await tokens({ type: 'image_url', image_url: { url, detail: 'low' } })).to.equal(4 + 85)
    expect(await tokens({ type: 'input_image', image_url: url })).to.equal(4 + 1105)
    const source = { type: 'base64', media_type: 'image/png', data: png(512, 512) }
    expect(await tokens({ type: 'image', source })).to.equal(4 + 255)
  })

  it('counts what other providers say in blocks', async () => {
    const input = { city: 'Rome' }
    const use = { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'look', input }] }
    expect(await counter.message(use)).to.equal(
      4 + 3 + (await counter.text('look')) + (await counter.text('{"city":"Rome"}')),
    )
    const results = {
      role: 'user',
      content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'sunny' }],
    }
    expect(await counter.message(results)).to.equal(await counter.message(user('sunny')))
  })

  it('takes whatever a message holds', async () => {
    for (const content of [null, undefined, 7, {}, [], [null, 'text', {}, { type: 3 }]])
      expect(await counter.message({ role: 'user', content, tool_calls: [null, {}, 1] })).to.be.above(3)
    expect(
      await counter.tools([null, 'x', {}, { function: { name: 'f', parameters: { properties: { a: 1 } } } }]),
    ).to.be.above(3)
    expect(await counter.message(assistant(''))).to.equal(4)
  })
})
