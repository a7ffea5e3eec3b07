import { expect } from 'chai'

import { messagesRefusal } from './anthropic-rules.js'
import { refusedBy } from './refusal.js'

const user = (content: unknown) => ({ role: 'user', content })
const assistant = (content: unknown, more: object = {}) => ({ role: 'assistant', content, ...more })
const use = (id: string) => ({ type: 'tool_use', id, name: 'f', input: {} })
const result = (id: string) => ({ type: 'tool_result', tool_use_id: id, content: 'r' })
const text = (said: string) => ({ type: 'text', text: said })
const body = (messages: readonly object[], more: object = {}) => ({
  model: 'claude-sonnet-4-5',
  max_tokens: 99,
  messages,
  ...more,
})

describe('the mocked provider of Anthropic', () => {
  it('takes what the real one takes', () => {
    const calling = assistant([text('Let me look.'), use('t1'), use('t2')])
    for (const taken of [
      body([user('q'), calling, user([result('t1'), result('t2'), text('and now?')])]),
      body([user('q'), calling, user([result('t1')]), user([result('t2')])]),
      body([user('q'), user('another'), assistant('a'), assistant('b')]),
      body([assistant('Welcome.'), user('q')], { system: 'Be brief.' }),
      body([user('q')], { system: [text('Be brief.')], stream: true }),
    ])
      expect(messagesRefusal(taken)).to.equal(undefined)
  })

  for (const [what, sent, words] of [
    ['a field that it does not know', body([user('q')], { session_id: 's' }), 'session_id: Extra inputs'],
    ['no room for the answer', { model: 'm', messages: [user('q')] }, 'max_tokens: Field required'],
    ['nothing', body([]), 'at least one message is required'],
    ['a system message among the others', body([{ role: 'system', content: 'x' }]), 'top-level `system`'],
    ['a role of another provider', body([{ role: 'tool', content: 'x' }]), 'Unexpected role "tool"'],
    [
      'a field of an answer in a message',
      body([assistant('a', { stop_reason: 'end_turn' })]),
      'messages.0.stop_reason: Extra inputs',
    ],
    ['empty content', body([user('q'), assistant([]), user('q')]), 'must have non-empty content'],
    ['empty text', body([user([text('')])]), 'text content blocks must be non-empty'],
    ['blank text', body([user([text(' \n')])]), 'must contain non-whitespace text'],
    [
      'thinking without its signature',
      body([assistant([{ type: 'thinking' }])]),
      'signature: Field required',
    ],
    ['a block of another provider', body([user([{ type: 'image_url' }])]), "Input tag 'image_url'"],
    [
      'a result without its call',
      body([user([result('t1')])]),
      'messages.0.content.0: unexpected `tool_use_id`',
    ],
    [
      'a call without its result',
      body([assistant([use('t1'), use('t2')]), user([result('t1')])]),
      'without `tool_result` blocks immediately after: t2',
    ],
    [
      'a result behind other content',
      body([assistant([use('t1')]), user([text('so'), result('t1')])]),
      'without `tool_result` blocks immediately after: t1',
    ],
    [
      'more than the context holds',
      body([user('word '.repeat(210_000))]),
      'prompt is too long: 210001 tokens > 200000 maximum',
    ],
    [
      'more than the context holds beside the answer',
      body([user('word '.repeat(150_000))], { max_tokens: 64_000 }),
      'exceed context limit: 150001 + 64000 > 200000',
    ],
  ] as const) {
    it(`refuses ${what}, in the words of the real one`, () => {
      expect(messagesRefusal(sent)).to.contain(words)
    })
  }

  it('says so in the shape of the real one', () => {
    const refused = refusedBy('anthropic-messages', body([]))!
    expect(refused.status).to.equal(400)
    expect(JSON.parse(refused.text)).to.deep.equal({
      type: 'error',
      error: { type: 'invalid_request_error', message: 'messages: at least one message is required' },
      request_id: 'req_1',
    })
  })
})
