import { expect } from 'chai'

import {
  anthropicMessages,
  openaiChat,
  type BeginRequest,
  type Format,
  type JsonObject,
  type Message,
  type Receipt,
} from '../../lib/index.js'
import { refusedBy } from '../replay/refusal.js'
import { freshCore, type FreshCore } from '../services/core.js'

const user = (content: unknown, more: object = {}): Message => ({ role: 'user', content, ...more })
const assistant = (content: unknown, more: object = {}): Message => ({ role: 'assistant', content, ...more })
const text = (said: string) => ({ type: 'text', text: said })
const call = (id: string, args: string) => ({
  id,
  type: 'function',
  function: { name: 'look', arguments: args },
})
const use = (id: string, input: object) => ({ type: 'tool_use', id, name: 'look', input })
const told = (id: string, content: unknown): Message => ({ role: 'tool', tool_call_id: id, content })
const result = (id: string, content?: unknown) => ({
  type: 'tool_result',
  tool_use_id: id,
  ...(content !== undefined && { content }),
})
const pixel = 'iVBORw0KGgo='

interface Step {
  readonly question: BeginRequest['question']
  readonly answer: Message
}

interface Sent {
  readonly body: JsonObject
  readonly receipt: Receipt
}

describe('a session that was begun in another format', () => {
  let core: FreshCore
  before(async () => {
    core = await freshCore()
  })
  after(() => core.end())

  let session: string
  beforeEach(async () => {
    session = (await core.turnlog.sessions.create({ userId: 'ann' })).id
  })

  const tell = async (format: Format, steps: readonly Step[]): Promise<void> => {
    for (const { question, answer } of steps) {
      const turn = await core.turnlog.begin({ userId: 'ann', sessionId: session, question, format })
      expect(await turn.complete(answer)).to.equal('stored')
    }
  }
  const bodyOf = (messages: readonly Message[], format: Format): JsonObject => ({
    model: 'm',
    messages,
    ...(format === anthropicMessages && { max_tokens: 9 }),
  })
  /** What is sent in a format, which its provider takes. */
  const sent = async (format: Format, messages: readonly Message[] = [user('next')]): Promise<Sent> => {
    const request = { userId: 'ann', sessionId: session, format, body: bodyOf(messages, format) }
    const preview = await core.turnlog.context(request)
    const turn = await core.turnlog.begin(request)
    await turn.discard()
    expect(refusedBy(format.name as 'openai-chat', turn.body!)).to.equal(undefined)
    expect(preview.body).to.deep.equal(turn.body)
    return { body: turn.body!, receipt: turn.receipt }
  }
  const stored = async (): Promise<readonly Message[]> =>
    (await core.turnlog.messages.list({ userId: 'ann', sessionId: session }))!.data.map(
      ({ message }) => message,
    )

  const chat: readonly Step[] = [
    {
      question: [
        { role: 'developer', content: 'Be brief.' },
        user([text('See.'), { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } }], {
          name: 'Ann',
        }),
      ],
      answer: assistant('Looking.', { tool_calls: [call('c1', '{"at":1}'), call('c2', '')] }),
    },
    { question: [told('c1', 'one'), told('c2', '')], answer: assistant('A', { refusal: null }) },
    {
      question: [
        user([text('Hear.'), { type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } }]),
      ],
      answer: assistant(null, { refusal: 'No.' }),
    },
  ]

  it('is sent on to Anthropic as its messages, and the receipt says so', async () => {
    await tell(openaiChat, chat)
    const before = await stored()
    const { body, receipt } = await sent(anthropicMessages)
    expect(body['system']).to.equal('Be brief.')
    expect(body['messages']).to.deep.equal([
      user([
        text('See.'),
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: pixel } },
      ]),
      assistant([text('Looking.'), use('c1', { at: 1 }), use('c2', {})]),
      user([result('c1', 'one')]),
      user([result('c2')]),
      assistant('A'),
      user([text('Hear.')]),
      assistant([text('No.')]),
      user('next'),
    ])
    expect(receipt.repaired).to.deep.equal([
      'put 7 messages of another format into anthropic-messages',
      'left out what anthropic-messages has no place for: name, input_audio',
    ])
    expect(await stored()).to.deep.equal(before)
  })

  const messages: readonly Step[] = [
    {
      question: [
        user([text('See.'), { type: 'image', source: { type: 'url', url: 'https://a.test/b.png' } }]),
      ],
      answer: assistant(
        [
          { type: 'thinking', thinking: 'hm', signature: 'c2ln' },
          text('Looking.'),
          use('t1', { at: 1 }),
          use('t2', {}),
        ],
        { stop_sequence: null },
      ),
    },
    {
      question: [user([result('t1', [text('one')]), result('t2'), text('And?')])],
      answer: assistant([{ ...text('A'), citations: null }], { stop_sequence: null }),
    },
  ]

  it('is sent on to OpenAI as chat messages, and the receipt says so', async () => {
    await tell(anthropicMessages, messages)
    const before = await stored()
    const { body, receipt } = await sent(openaiChat)
    expect(body['messages']).to.deep.equal([
      user([text('See.'), { type: 'image_url', image_url: { url: 'https://a.test/b.png' } }]),
      assistant('Looking.', { tool_calls: [call('t1', '{"at":1}'), call('t2', '{}')] }),
      told('t1', 'one'),
      told('t2', ''),
      user('And?'),
      assistant('A'),
      user('next'),
    ])
    expect(receipt.repaired).to.deep.equal([
      'put 6 messages of another format into openai-chat',
      'left out what openai-chat has no place for: thinking',
    ])
    expect(await stored()).to.deep.equal(before)
  })

  it('takes the results of its open calls in the format of the request', async () => {
    await tell(openaiChat, chat.slice(0, 1))
    const results = user([result('c1', 'one'), result('c2', 'two')])
    const { body } = await sent(anthropicMessages, [results])
    expect((body['messages'] as Message[]).slice(-2)).to.deep.equal([
      assistant([text('Looking.'), use('c1', { at: 1 }), use('c2', {})]),
      results,
    ])
  })

  it('is cut by whole exchanges as any other', async () => {
    await tell(openaiChat, chat)
    for (const limit of [1, 2, 3, 5, 7]) {
      const body = bodyOf([user('next')], anthropicMessages)
      const asked = {
        userId: 'ann',
        sessionId: session,
        format: anthropicMessages,
        maxHistoryMessages: limit,
      }
      const preview = await core.turnlog.context({ ...asked, body })
      expect(refusedBy('anthropic-messages', preview.body!)).to.equal(undefined)
      expect(preview.receipt.injected).to.be.at.most(limit + 1)
    }
  })

  it('is recognised when it is resent in the format of the request', async () => {
    await tell(openaiChat, chat.slice(0, 2))
    const { body } = await sent(anthropicMessages)
    const resent = [...(body['messages'] as Message[]).slice(0, -1), user('other')]
    const again = await sent(anthropicMessages, resent)
    expect(again.receipt.reconciled).to.equal(resent.length - 1)
    expect(again.body['messages']).to.deep.equal(resent)
  })

  it('is sent as it is where its messages are plain text', async () => {
    await tell(openaiChat, [{ question: 'a', answer: assistant('A') }])
    const { body, receipt } = await sent(anthropicMessages)
    expect(body['messages']).to.deep.equal([user('a'), assistant('A'), user('next')])
    expect(receipt.repaired).to.equal(undefined)
    await tell(anthropicMessages, [{ question: 'b', answer: assistant('B', { stop_sequence: null }) }])
    const chat = await sent(openaiChat)
    expect(chat.body['messages']).to.deep.equal(
      ['a', 'A', 'b', 'B'].map((said, at) => (at % 2 ? assistant : user)(said)).concat(user('next')),
    )
  })

  it('is not what another provider of chat completions says in blocks that Anthropic has too', async () => {
    const thinking = { type: 'thinking', thinking: [text('hm')] }
    const answer = assistant([thinking, text('Looking.')], { tool_calls: [call('c1', '{}')] })
    await tell(openaiChat, [
      { question: 'Where?', answer },
      { question: [told('c1', 'here')], answer: assistant([thinking, text('Here.')]) },
    ])
    const turn = await core.turnlog.begin({ userId: 'ann', sessionId: session, question: 'And now?' })
    expect(turn.history).to.deep.include.members([answer, assistant([thinking, text('Here.')])])
    expect(turn.receipt.repaired).to.equal(undefined)
    await turn.discard()
  })
})
