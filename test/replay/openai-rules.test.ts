import { expect } from 'chai'

import { requestRefusal } from './openai-rules.js'

describe('the mocked provider', () => {
  const user = { role: 'user', content: 'q' }
  const calls = [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }]
  const calling = { role: 'assistant', content: null, tool_calls: calls }
  const result = { role: 'tool', tool_call_id: 'c1', content: 'r' }

  it('takes what a real one takes', () => {
    expect(requestRefusal({ model: 'gpt-4', messages: [user, calling, result] })).to.equal(undefined)
    expect(requestRefusal({ model: 'nobody-knows', messages: [user] })).to.equal(undefined)
  })

  for (const [what, body, words] of [
    ['a result without its call', { messages: [user, result] }, "role 'tool' must be a response"],
    ['a call without its result', { messages: [user, calling, user] }, 'did not have response messages: c1'],
    [
      'a field that it does not know',
      { messages: [user], session_id: 's' },
      "Unknown parameter: 'session_id'",
    ],
    ['nothing', { messages: [] }, 'empty array'],
    [
      'more than the context holds',
      { model: 'gpt-4', messages: [{ role: 'user', content: 'word '.repeat(9000) }] },
      'maximum context length is 8192 tokens',
    ],
    [
      'more than the context holds beside the answer',
      { model: 'gpt-4', max_tokens: 4000, messages: [{ role: 'user', content: 'word '.repeat(5000) }] },
      'maximum context length',
    ],
  ] as const) {
    it(`refuses ${what}, in the words of a real one`, () => {
      expect(requestRefusal(body)).to.contain(words)
    })
  }
})
