import { expect } from 'chai'
import { InvalidRequest } from '../../lib/model/errors.js'
import type { JsonObject } from '../../lib/model/json.js'
import { anthropicMessages } from '../../lib/wire/anthropic.js'

const user = { role: 'user', content: 'Hello' }
const text = (said: string) => ({ type: 'text', text: said })
const call = { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }
const result = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'x' }
const assistant = (...content: unknown[]) => ({ role: 'assistant', content })

const readerAfter = (...events: readonly JsonObject[]) => {
  const reader = anthropicMessages.reader()
  for (const event of events) reader.chunk(event)
  return reader
}

const start = { type: 'message_start', message: { id: 'm', role: 'assistant', content: [] } }

describe('anthropic messages: the question', () => {
  it('reads the system field as one message that holds its content', () => {
    const blocks = [{ ...text('Be brief.'), cache_control: { type: 'ephemeral' } }]
    expect(anthropicMessages.read({ system: blocks, messages: [user] }).system).to.deep.equal([
      { role: 'system', content: blocks },
    ])
    expect(anthropicMessages.read({ system: 'Be brief.', messages: [user] }).system).to.deep.equal([
      { role: 'system', content: 'Be brief.' },
    ])
    for (const system of [undefined, null, '', []]) {
      expect(anthropicMessages.read({ system, messages: [user] }).system).to.deep.equal([])
    }
  })

  it('reads the model, the stream flag, the reserved tokens and the tools', () => {
    const body = { model: 'm', max_tokens: 9, stream: true, tools: [{ name: 'f' }], messages: [user] }
    expect(anthropicMessages.read(body)).to.deep.equal({
      system: [],
      messages: [user],
      model: 'm',
      stream: true,
      outputTokens: 9,
      tools: [{ name: 'f' }],
    })
  })

  it('says what is wrong with the body and how to repair it', () => {
    const wrong: [JsonObject, string, string][] = [
      [{}, 'messages', 'messages must be a non-empty array, got nothing. Send an array such as'],
      [{ messages: [user, {}] }, 'messages[1].role', 'Say who speaks: "user" or "assistant".'],
      [{ system: 7, messages: [user] }, 'system', 'system must be a string or an array, got a number. Send'],
    ]
    for (const [body, param, message] of wrong) {
      expect(() => anthropicMessages.read(body))
        .to.throw(InvalidRequest, message)
        .with.property('param', param)
    }
  })
})

describe('anthropic messages: the prompt', () => {
  it('takes the place of the messages and of the system field', () => {
    const body = { model: 'm', system: 'own', messages: [user] }
    const system = [{ role: 'system', content: 'pinned' }]
    expect(
      anthropicMessages.inject(body, { system, messages: [user, assistant(text('Hi')), user] }),
    ).to.deep.equal({
      model: 'm',
      system: 'pinned',
      messages: [user, assistant(text('Hi')), user],
    })
    expect(anthropicMessages.inject(body, { system: [], messages: [user] })).to.deep.equal({
      model: 'm',
      messages: [user],
    })
  })

  it('puts several pinned messages into one system field', () => {
    const system = [
      { role: 'system', content: 'one' },
      { role: 'system', content: [text('two')] },
    ]
    expect(anthropicMessages.inject({}, { system, messages: [user] })['system']).to.deep.equal([
      text('one'),
      text('two'),
    ])
  })

  it('sends an answer back without the fields that stand beside its content', () => {
    const answer = { ...assistant(text('Hi')), stop_sequence: null, container: null }
    const { messages } = anthropicMessages.inject({}, { system: [], messages: [answer] })
    expect(messages).to.deep.equal([assistant(text('Hi'))])
  })
})

describe('anthropic messages: calls and results', () => {
  it('names the calls of an assistant message, the server’s own left out', () => {
    const server = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }
    expect(anthropicMessages.calls(assistant(text('a'), server, call, null))).to.deep.equal(['toolu_1'])
    expect(anthropicMessages.calls({ role: 'assistant', content: 'text' })).to.deep.equal([])
    expect(anthropicMessages.calls({ role: 'user', content: [call] })).to.deep.equal([])
  })

  it('names the calls that a user message answers', () => {
    const other = { ...result, tool_use_id: 'toolu_2' }
    expect(anthropicMessages.answers({ role: 'user', content: [result, other, text('and')] })).to.deep.equal([
      'toolu_1',
      'toolu_2',
    ])
    expect(anthropicMessages.answers(user)).to.deep.equal([])
    expect(anthropicMessages.answers(assistant(result))).to.deep.equal([])
  })

  it('closes an interrupted answer off with what the provider accepts', () => {
    const thinking = { type: 'thinking', thinking: 'hm', signature: '' }
    const asked = { type: 'server_tool_use', id: 's1', name: 'web_search', input: {} }
    const found = { type: 'web_search_tool_result', tool_use_id: 's1', content: [] }
    const lost = { ...asked, id: 's2' }
    const cut = assistant(thinking, asked, found, text('Let me'), text(''), lost, call)
    expect(anthropicMessages.closeOff(cut)).to.deep.equal(assistant(asked, found, text('Let me')))
  })

  it('leaves nothing of an interrupted answer that said nothing', () => {
    for (const message of [
      assistant(),
      assistant(call),
      assistant(text(' \n')),
      { role: 'assistant', content: '' },
    ]) {
      expect(anthropicMessages.closeOff(message)).to.equal(undefined)
    }
  })

  it('leaves what others said as it is', () => {
    const message = { role: 'user', content: [result] }
    expect(anthropicMessages.closeOff(message)).to.equal(message)
    const words = { role: 'assistant', content: 'words' }
    expect(anthropicMessages.closeOff(words)).to.equal(words)
  })
})

describe('anthropic messages: the answer', () => {
  it('is nothing before anything was said', () => {
    const block = { type: 'content_block_start', index: 0, content_block: text('') }
    expect(readerAfter().answer()).to.equal(undefined)
    expect(readerAfter(start, block).answer()).to.equal(undefined)
  })

  it('tells blocks apart by index, also where they interleave', () => {
    const delta = (index: number, said: string) => ({
      type: 'content_block_delta',
      index,
      delta: { type: 'text_delta', text: said },
    })
    const block = (index: number) => ({ type: 'content_block_start', index, content_block: text('') })
    const { messages } = readerAfter(
      start,
      block(0),
      block(1),
      delta(1, 'b'),
      delta(0, 'a'),
      delta(1, 'B'),
    ).answer()!
    expect(messages).to.deep.equal([assistant(text('a'), text('bB'))])
  })

  it('ignores deltas of blocks and of messages that never began', () => {
    const delta = { type: 'content_block_delta', index: 4, delta: { type: 'text_delta', text: 'x' } }
    expect(readerAfter(delta, { type: 'message_delta', delta: { stop_reason: 'x' } }).answer()).to.equal(
      undefined,
    )
    expect(readerAfter(start, delta).answer()).to.equal(undefined)
  })

  it('takes half an input for none', () => {
    const block = { type: 'content_block_start', index: 0, content_block: call }
    const delta = (json: string) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'input_json_delta', partial_json: json },
    })
    const inputAfter = (...parts: string[]): unknown => {
      const { messages } = readerAfter(start, block, ...parts.map(delta)).answer()!
      return (messages[0]!['content'] as JsonObject[])[0]!['input']
    }
    expect(inputAfter('', '{"a":', '1}')).to.deep.equal({ a: 1 })
    expect(inputAfter('{"a":')).to.deep.equal({})
    expect(inputAfter('')).to.deep.equal({})
  })

  it('ends at message_stop, is an error where the provider refuses, and skips the rest', () => {
    const event = (name: string | undefined, data: string) =>
      anthropicMessages.reader().event(name === undefined ? { data } : { event: name, data })
    expect(event('message_stop', '{"type":"message_stop"}')).to.equal('end')
    expect(event('error', 'overloaded')).to.equal('error')
    expect(event(undefined, '{"type":"error","error":{}}')).to.equal('error')
    expect(event('content_block_delta', '{"type":')).to.equal('error')
    expect(event('ping', '{"type":"ping"}')).to.equal('more')
    expect(event(undefined, '[DONE]')).to.equal('more')
    expect(event('status', 'thinking')).to.equal('more')
    expect(event('message_delta', 'null')).to.equal('more')
    expect(event('message_start', '{"type":"message_start"}')).to.equal('more')
  })

  it('takes 1,024 blocks and citations and not one more', () => {
    const block = { type: 'content_block_start', index: 0, content_block: text('') }
    const cited = { type: 'content_block_delta', index: 0, delta: { type: 'citations_delta', citation: {} } }
    const reader = readerAfter(start, block)
    for (let count = 1; count < 1_024; count += 1) expect(reader.chunk(cited)).to.equal('more')
    expect(reader.chunk(cited)).to.equal('error')
    expect(readerAfter(start, ...Array.from({ length: 1_024 }, () => block)).chunk(block)).to.equal('error')
  })

  it('is an error where a body is none', () => {
    for (const body of [undefined, null, 'text', [], {}, { type: 'error', error: {}, content: [] }]) {
      expect(anthropicMessages.reader().body(body)).to.equal('error')
    }
  })
})
