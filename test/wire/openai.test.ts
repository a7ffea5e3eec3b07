import { expect } from 'chai'
import { InvalidRequest } from '../../lib/model/errors.js'
import type { JsonObject } from '../../lib/model/json.js'
import type { Reading } from '../../lib/wire/format.js'
import { openaiChat } from '../../lib/wire/openai.js'

const user = { role: 'user', content: 'Hello' }
const system = { role: 'system', content: 'Be brief.' }

/** The error that reading this body throws. */
function refusalOf(body: JsonObject): { message: string; param: string | null } {
  try {
    openaiChat.read(body)
  } catch (error) {
    expect(error).to.be.instanceOf(InvalidRequest)
    return error as InvalidRequest
  }
  throw new Error('nothing was refused')
}

/** What is said once these chunks were read, each the first choice's delta. */
function saidBy(...deltas: readonly JsonObject[]) {
  const reader = openaiChat.reader()
  for (const delta of deltas) reader.chunk({ id: 'c', choices: [{ index: 0, delta, finish_reason: null }] })
  return reader.answer()
}

const message = (...deltas: readonly JsonObject[]) => saidBy(...deltas)?.messages[0]

const calling = (call: JsonObject): JsonObject => ({ tool_calls: [call] })

const readAll = (...events: readonly string[]): readonly Reading[] => {
  const reader = openaiChat.reader()
  return events.map((data) => reader.event({ data }))
}

describe('openai chat: the question', () => {
  it('parts leading system and developer messages from the rest', () => {
    const developer = { role: 'developer', content: 'x' }
    const later = { role: 'system', content: 'later' }
    const question = openaiChat.read({ messages: [system, developer, user, later] })
    expect(question).to.deep.equal({ system: [system, developer], messages: [user, later], stream: false })
  })

  it('reads the model, the stream flag, the reserved tokens and the tools', () => {
    const tools = [{ type: 'function', function: { name: 'f' } }]
    const body = {
      model: 'gpt-4o',
      stream: true,
      max_tokens: 5,
      max_completion_tokens: 7,
      tools,
      messages: [user],
    }
    expect(openaiChat.read(body)).to.deep.equal({
      system: [],
      messages: [user],
      model: 'gpt-4o',
      stream: true,
      outputTokens: 7,
      tools,
    })
    expect(
      openaiChat.read({ messages: [user], max_tokens: 5, max_completion_tokens: null }).outputTokens,
    ).to.equal(5)
    expect(openaiChat.read({ messages: [user], functions: tools }).tools).to.equal(tools)
  })

  it('keeps the messages as they were parsed', () => {
    const odd = { role: 'user', content: [{ type: 'text', text: '\u0000\ud800' }], unknown: { deep: [1] } }
    expect(openaiChat.read({ messages: [odd] }).messages[0]).to.equal(odd)
  })

  it('says what messages must be', () => {
    for (const [messages, got] of [
      [undefined, 'nothing'],
      [null, 'null'],
      ['hi', 'a string'],
      [{}, 'an object'],
      [[], 'an empty array'],
    ]) {
      const { message, param } = refusalOf({ messages })
      expect(message).to.include(
        `messages must be a non-empty array, got ${got as string}. Send an array such as`,
      )
      expect(param).to.equal('messages')
    }
  })

  it('names the message that is none, without a word of its content', () => {
    const { message, param } = refusalOf({ messages: [user, 'secret'] })
    expect(message).to.include('messages[1] must be an object, got a string').and.not.include('secret')
    expect(param).to.equal('messages[1]')
  })

  it('refuses a result that names no call', () => {
    for (const result of [{}, { tool_call_id: '' }, { tool_call_id: 7 }]) {
      const { param } = refusalOf({ messages: [user, { role: 'tool', content: 'secret', ...result }] })
      expect(param).to.equal('messages[1].tool_call_id')
    }
  })

  it('names the role that is missing and says how to repair it', () => {
    const { message, param } = refusalOf({ messages: [system, user, user, { content: 'secret' }] })
    expect(message).to.include('messages[3].role must be a string, got nothing. Say who speaks')
    expect(message).not.to.include('secret')
    expect(param).to.equal('messages[3].role')
    expect(refusalOf({ messages: [{ role: '' }] }).message).to.include('got an empty string')
    expect(refusalOf({ messages: [{ role: 7 }] }).message).to.include('got a number')
  })

  it('asks for a question beside the system messages', () => {
    expect(refusalOf({ messages: [system] }).message).to.include('only system messages')
  })
})

describe('openai chat: the prompt', () => {
  it('takes the place of the messages and nothing else', () => {
    const body = { messages: [user], model: 'm', extra: { a: 1 } }
    const answer = { role: 'assistant', content: 'Hi' }
    const injected = openaiChat.inject(body, { system: [system], messages: [user, answer, user] })
    expect(injected).to.deep.equal({ messages: [system, user, answer, user], model: 'm', extra: { a: 1 } })
    expect(body.messages).to.deep.equal([user])
  })

  it('sends an answer back whose audio is named by its id', () => {
    const spoken = { role: 'assistant', content: null, audio: { id: 'a1', data: 'UklG', transcript: 'Hi' } }
    const { messages } = openaiChat.inject({}, { system: [], messages: [spoken] })
    expect(messages).to.deep.equal([{ role: 'assistant', content: null, audio: { id: 'a1' } }])
  })
})

describe('openai chat: calls and results', () => {
  const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }

  it('names the calls of an assistant message', () => {
    expect(
      openaiChat.calls({ role: 'assistant', tool_calls: [call, { ...call, id: 'call_2' }] }),
    ).to.deep.equal(['call_1', 'call_2'])
    expect(
      openaiChat.calls({ role: 'assistant', tool_calls: [{ ...call, id: '' }, null, 'x'] }),
    ).to.deep.equal([])
    expect(openaiChat.calls({ role: 'user', tool_calls: [call] })).to.deep.equal([])
  })

  it('names the call that a tool message answers', () => {
    expect(openaiChat.answers({ role: 'tool', tool_call_id: 'call_1', content: '' })).to.deep.equal([
      'call_1',
    ])
    expect(openaiChat.answers({ role: 'user', tool_call_id: 'call_1' })).to.deep.equal([])
    expect(openaiChat.answers({ role: 'tool' })).to.deep.equal([])
  })

  it('closes an interrupted answer off without its calls', () => {
    const cut = { role: 'assistant', content: 'Let me', refusal: null, reasoning: 'r', tool_calls: [call] }
    expect(openaiChat.closeOff(cut)).to.deep.equal({
      role: 'assistant',
      content: 'Let me',
      refusal: null,
      reasoning: 'r',
    })
    expect(openaiChat.closeOff({ role: 'assistant', content: null, refusal: 'No' })).to.not.equal(undefined)
  })

  it('leaves nothing of an interrupted answer that said nothing', () => {
    expect(openaiChat.closeOff({ role: 'assistant', content: null, tool_calls: [call] })).to.equal(undefined)
    expect(openaiChat.closeOff({ role: 'assistant', content: '', reasoning: 'thinking' })).to.equal(undefined)
    expect(openaiChat.closeOff({ role: 'assistant', content: null, audio: { data: 'UklG' } })).to.equal(
      undefined,
    )
    expect(openaiChat.closeOff({ role: 'assistant', content: null, function_call: {} })).to.equal(undefined)
  })

  it('leaves what others said as it is', () => {
    const result = { role: 'tool', tool_call_id: 'call_1', content: '' }
    expect(openaiChat.closeOff(result)).to.equal(result)
  })
})

describe('openai chat: the answer', () => {
  it('is nothing before anything was said', () => {
    expect(openaiChat.reader().answer()).to.equal(undefined)
    expect(saidBy({ role: 'assistant', content: '', refusal: null })).to.equal(undefined)
  })

  it('ends at the last word, whatever stands behind it on its line', () => {
    expect(readAll('[DONE]')).to.deep.equal(['end'])
    expect(readAll('[DONE] ')).to.deep.equal(['end'])
  })

  it('is an error where the provider refuses', () => {
    expect(readAll('{"error":{"message":"no"}}')).to.deep.equal(['error'])
    expect(readAll('{"object":"error","message":"no","code":400}')).to.deep.equal(['error'])
    expect(readAll('{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}')).to.deep.equal(['error'])
    expect(openaiChat.reader().event({ event: 'error', data: 'overloaded' })).to.equal('error')
  })

  it('is an error where nobody can read it, never a throw', () => {
    expect(readAll('{"choices"')).to.deep.equal(['error'])
    const odd = ['null', '7', '[]', '""', '', '{}', '{"choices":null}', '{"choices":[null,7,{}]}']
    expect(readAll(...odd)).to.deep.equal(odd.map(() => 'more'))
    expect(readAll('{"choices":[{"delta":{"tool_calls":[null,{}],"content":7}}]}')).to.deep.equal(['more'])
  })

  it('skips events of the host with names of their own', () => {
    const reader = openaiChat.reader()
    expect(reader.event({ event: 'status', data: 'thinking' })).to.equal('more')
    expect(reader.event({ event: 'status', data: '{"id":"other","model":"other"}' })).to.equal('more')
    reader.chunk({ choices: [{ delta: { content: 'x' } }] })
    expect(reader.answer()).to.deep.equal({
      messages: [{ role: 'assistant', content: 'x' }],
      calls: [],
      choices: 1,
    })
  })

  it('keeps fields that it does not know, the last value of each', () => {
    expect(
      message({ content: 'a', annotations: [] }, { annotations: [1], weight: 1 }, { weight: 2 }),
    ).to.deep.equal({
      role: 'assistant',
      content: 'a',
      annotations: [1],
      weight: 2,
    })
  })

  it('takes a field named __proto__ for a field', () => {
    const delta = JSON.parse('{"content":"a","__proto__":{"polluted":true}}') as JsonObject
    const said = message(delta, { content: 'b' })
    expect(Object.keys(said!)).to.include('__proto__')
    expect((said as { polluted?: boolean }).polluted).to.equal(undefined)
    expect(said).to.have.property('content', 'ab')
  })

  it('takes no field for one that every object has', () => {
    const said = message({ content: 'a', constructor: null, toString: '' })
    expect(Object.entries(said!)).to.deep.include.members([
      ['constructor', null],
      ['toString', ''],
    ])
  })

  it('lets nothing empty replace what was said', () => {
    const said = message(
      { role: 'assistant', content: 'a', note: 'b' },
      { role: '', content: null, note: '' },
    )
    expect(said).to.deep.equal({ role: 'assistant', content: 'a', note: 'b' })
  })

  it('says "" when an answer ended empty and null when only calls were made', () => {
    const reader = openaiChat.reader()
    reader.chunk({ choices: [{ delta: { role: 'assistant', content: '' }, finish_reason: 'stop' }] })
    expect(reader.answer()?.messages[0]?.['content']).to.equal('')
    const called = message(
      { content: '' },
      calling({ index: 0, id: 'a', function: { name: 'f', arguments: '{}' } }),
    )
    expect(called?.['content']).to.equal(null)
  })

  it('joins text and parts when a provider mixes them', () => {
    const thinking = { type: 'thinking', thinking: [{ type: 'text', text: 'hm' }] }
    const said = message({ content: '' }, { content: [thinking] }, { content: 'He' }, { content: 'llo' })
    expect(said?.['content']).to.deep.equal([thinking, { type: 'text', text: 'Hello' }])
  })

  it('takes 1,024 parts and not one more', () => {
    const deltaOf = (length: number) => ({
      choices: [{ delta: { content: Array.from({ length }, () => ({})) } }],
    })
    const reader = openaiChat.reader()
    expect(reader.chunk(deltaOf(1_024))).to.equal('more')
    expect(reader.chunk(deltaOf(1))).to.equal('error')
  })

  it('counts choices and keeps the first, in whatever order they come', () => {
    const reader = openaiChat.reader()
    reader.chunk({ choices: [{ index: 2, delta: { content: 'c' }, finish_reason: 'length' }] })
    expect(reader.answer()).to.equal(undefined)
    reader.chunk({ choices: [{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }] })
    const answer = reader.answer()
    expect([answer?.choices, answer?.finishReason]).to.deep.equal([3, 'stop'])
    expect(answer?.messages).to.deep.equal([{ role: 'assistant', content: 'a' }])
  })

  it('keeps usage that comes without choices', () => {
    const reader = openaiChat.reader()
    reader.chunk({ id: 'c', choices: [{ delta: { content: 'a' } }], usage: null })
    reader.chunk({ usage: { total_tokens: 3 } })
    reader.chunk({ choices: [], usage: null })
    expect(reader.answer()?.usage).to.deep.equal({ total_tokens: 3 })
  })

  it('does not change what it said before', () => {
    const reader = openaiChat.reader()
    reader.chunk({ choices: [{ delta: { content: 'a' } }] })
    const before = reader.answer()
    reader.chunk({ choices: [{ delta: { content: 'b' } }] })
    expect(before?.messages[0]?.['content']).to.equal('a')
  })

  describe('tool calls', () => {
    const argumentsOf = (...deltas: readonly JsonObject[]): readonly unknown[] => {
      const calls = message(...deltas.map(calling))?.['tool_calls'] as { function: { arguments: string } }[]
      return calls.map((call) => call.function.arguments)
    }

    it('are told apart by index', () => {
      expect(
        argumentsOf(
          { index: 0, id: 'a', function: { name: 'f', arguments: '' } },
          { index: 1, id: 'b', function: { name: 'f', arguments: '' } },
          { index: 0, function: { arguments: '{"a"' } },
          { index: 1, function: { arguments: '{"b"' } },
          { index: 0, function: { arguments: ':1}' } },
          { index: 1, function: { arguments: ':2}' } },
        ),
      ).to.deep.equal(['{"a":1}', '{"b":2}'])
    })

    it('are told apart by id where every index is 0', () => {
      expect(
        argumentsOf(
          { index: 0, id: 'a', function: { name: 'f', arguments: '{"a"' } },
          { index: 0, function: { arguments: ':1}' } },
          { index: 0, id: 'b', function: { name: 'f', arguments: '{"b"' } },
          { index: 0, function: { arguments: ':2}' } },
        ),
      ).to.deep.equal(['{"a":1}', '{"b":2}'])
    })

    it('go on by id where there is no index', () => {
      expect(
        argumentsOf(
          { id: 'a', function: { name: 'f', arguments: '{"a"' } },
          { id: 'b', function: { name: 'f', arguments: '{"b"' } },
          { id: 'a', function: { arguments: ':1}' } },
          { id: 'b', function: { arguments: ':2}' } },
        ),
      ).to.deep.equal(['{"a":1}', '{"b":2}'])
    })

    it('are one where a provider repeats id and name', () => {
      expect(
        argumentsOf(
          { index: 0, id: 'a', function: { name: 'f', arguments: '{"a"' } },
          { index: 0, id: 'a', function: { name: 'f', arguments: ':1}' } },
          { index: 0, id: '', function: { name: '', arguments: '' } },
        ),
      ).to.deep.equal(['{"a":1}'])
    })

    it('are one where a provider repeats the name without an id', () => {
      expect(
        argumentsOf(
          { index: 0, id: 'a', function: { name: 'f', arguments: '{' } },
          { index: 0, function: { name: 'f', arguments: '}' } },
          { index: 0, function: { name: 'f', arguments: '' } },
        ),
      ).to.deep.equal(['{}'])
    })

    it('may be 1,024 and not one more', () => {
      const calls = Array.from({ length: 1_025 }, (_, index) => ({ index, id: `call_${index}` }))
      const deltaOf = (list: readonly JsonObject[]) => ({
        choices: [{ index: 0, delta: { tool_calls: list } }],
      })
      expect(openaiChat.reader().chunk(deltaOf(calls.slice(1)))).to.equal('more')
      expect(openaiChat.reader().chunk(deltaOf(calls))).to.equal('error')
      const reader = openaiChat.reader()
      const readings = calls.map((call) => reader.chunk(deltaOf([call])))
      expect(readings.indexOf('error')).to.equal(1_024)
    })

    it('are two where a provider gives both the same id at two indexes', () => {
      expect(
        argumentsOf(
          { index: 0, id: 'call', function: { name: 'f', arguments: '{}' } },
          { index: 1, id: 'call', function: { name: 'f', arguments: '{}' } },
        ),
      ).to.deep.equal(['{}', '{}'])
    })

    it('take an id that comes late', () => {
      const said = message(
        calling({ index: 0, function: { name: 'f', arguments: '{' } }),
        calling({ index: 0, id: 'late', type: 'function', function: { arguments: '}' } }),
      )
      expect(said?.['tool_calls']).to.deep.equal([
        { id: 'late', type: 'function', function: { name: 'f', arguments: '{}' } },
      ])
    })

    it('may be custom', () => {
      const said = message(
        calling({ index: 0, id: 'a', type: 'custom', custom: { name: 'sql', input: 'sel' } }),
        calling({ index: 0, custom: { input: 'ect' } }),
      )
      expect(said?.['tool_calls']).to.deep.equal([
        { id: 'a', type: 'custom', custom: { name: 'sql', input: 'select' } },
      ])
    })

    it('have arguments even where none were sent', () => {
      const said = message(calling({ index: 0, id: 'a', function: { name: 'f' } }))
      expect(said?.['tool_calls']).to.deep.equal([
        { id: 'a', type: 'function', function: { name: 'f', arguments: '' } },
      ])
    })
  })

  describe('as JSON', () => {
    const choice = { index: 0, message: { role: 'assistant', content: 'a', odd: [1] }, finish_reason: 'stop' }

    it('is the message as it came', () => {
      const reader = openaiChat.reader()
      expect(
        reader.body({ id: 'c', created: 3, model: 'm', choices: [{ ...choice, index: 1 }, choice] }),
      ).to.equal('end')
      expect(reader.answer()).to.deep.equal({
        messages: [choice.message],
        calls: [],
        model: 'm',
        responseId: 'c',
        responseTime: 3,
        finishReason: 'stop',
        choices: 2,
      })
    })

    it('is an error where it is none', () => {
      const odd: unknown[] = [undefined, null, 'text', [], {}, { choices: [] }, { choices: [{}] }]
      for (const body of [...odd, { error: { message: 'no' } }, { error: 'no', choices: [choice] }]) {
        const reader = openaiChat.reader()
        expect(reader.body(body)).to.equal('error')
        expect(reader.answer()).to.equal(undefined)
      }
    })
  })
})
