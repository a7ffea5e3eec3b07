import { expect } from 'chai'

import { openaiChat, type BeginRequest, type Format, type Message, type Turn } from '../../lib/index.js'
import { anthropicMessages } from '../../lib/wire/anthropic.js'
import { refusedBy } from '../replay/refusal.js'
import { freshCore, type FreshCore } from '../services/core.js'

const user = (content: unknown): Message => ({ role: 'user', content })
const assistant = (content: unknown, more: object = {}): Message => ({ role: 'assistant', content, ...more })
const call = { id: 'c1', type: 'function', function: { name: 'look', arguments: '{}' } }

describe('a stored history that a provider would refuse', () => {
  let core: FreshCore
  before(async () => {
    core = await freshCore()
  })
  after(() => core.end())

  let session: string
  let format: Format
  beforeEach(async () => {
    format = openaiChat
    session = (await core.turnlog.sessions.create({ userId: 'ann' })).id
  })

  const begin = (question: BeginRequest['question'], model = 'gpt-4o'): Promise<Turn> =>
    core.turnlog.begin({ userId: 'ann', sessionId: session, question, model, format })
  const tell = async (question: BeginRequest['question'], answer: Message): Promise<void> => {
    expect(await (await begin(question)).complete(answer)).to.equal('stored')
  }
  const sent = async (
    model?: string,
  ): Promise<{ history: readonly Message[]; repaired: readonly string[] }> => {
    const turn = await begin('next', model)
    await turn.discard()
    const [system, messages] = [true, false].map((pinned) =>
      turn.messages.filter(({ role }) => (role === 'system') === pinned),
    )
    const body = format.inject({ model: 'm', max_tokens: 9 }, { system: system!, messages: messages! })
    expect(refusedBy(format.name as 'openai-chat', body)).to.equal(undefined)
    return { history: turn.history, repaired: turn.receipt.repaired ?? [] }
  }
  const stored = async (): Promise<readonly Message[]> =>
    (await core.turnlog.messages.list({ userId: 'ann', sessionId: session }))!.data.map(
      ({ message }) => message,
    )

  it('gets empty text where an answer said nothing', async () => {
    await tell('a', assistant(null, { refusal: null }))
    const { history, repaired } = await sent()
    expect(history[1]).to.deep.equal(assistant('', { refusal: null }))
    expect(repaired).to.deep.equal(['put empty text where a message of role assistant had none'])
    expect((await stored())[1]).to.deep.equal(assistant(null, { refusal: null }))
  })

  it('loses an empty list of calls', async () => {
    await tell('a', assistant('A', { tool_calls: [] }))
    const { history, repaired } = await sent()
    expect(history[1]).to.deep.equal(assistant('A'))
    expect(repaired).to.deep.equal(['left out an empty list of tool calls'])
  })

  it('loses another provider’s fields for a model of OpenAI’s own, and for no other', async () => {
    const answer = assistant('A', { refusal: null, reasoning_content: 'hm', reasoning_details: [] })
    await tell('a', answer)
    const { history, repaired } = await sent('gpt-4o-2024-08-06')
    expect(history[1]).to.deep.equal(assistant('A', { refusal: null }))
    expect(repaired).to.deep.equal(['left out reasoning_content, reasoning_details'])
    for (const model of ['deepseek-chat', 'openai/gpt-4o', 'gpt-oss-20b'])
      expect((await sent(model)).history[1]).to.deep.equal(answer)
    expect((await stored())[1]).to.deep.equal(answer)
  })

  it('has one system message where two were pinned, unless the request brings its own', async () => {
    const pinned: Message[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'system', content: 'Be kind.' },
    ]
    const first = await begin([...pinned, user('a')])
    expect(first.messages.slice(0, 2)).to.deep.equal(pinned)
    expect(first.receipt.repaired).to.equal(undefined)
    await first.complete('A')
    const { history, repaired } = await sent()
    expect(history[0]).to.deep.equal({ role: 'system', content: 'Be brief.\n\nBe kind.' })
    expect(repaired).to.deep.equal(['joined 2 system messages into one'])
    expect((await stored()).slice(0, 2)).to.deep.equal(pinned)
  })

  it('is closed off where calls broke off, and left out where they were never answered', async () => {
    const broken = await begin('a')
    await broken.interrupt(assistant('Let me look.', { tool_calls: [call] }))
    await tell('b', assistant(null, { tool_calls: [call] }))
    const { history, repaired } = await sent()
    expect(history).to.deep.equal([user('a'), assistant('Let me look.')])
    expect(repaired).to.have.length(2)
  })

  it('loses empty text and unsigned thinking in Anthropic’s format', async () => {
    format = anthropicMessages
    const thinking = { type: 'thinking', thinking: 'hm' }
    const signed = { ...thinking, signature: 'c2ln' }
    await tell('a', assistant([thinking, signed, { type: 'text', text: ' ' }, { type: 'text', text: 'A' }]))
    await tell('b', assistant([{ type: 'text', text: '' }]))
    const { history, repaired } = await sent('claude-sonnet-4-5')
    expect(history).to.deep.equal([user('a'), assistant([signed, { type: 'text', text: 'A' }]), user('b')])
    expect(repaired).to.deep.equal([
      'left out thinking without its signature',
      'left out empty text',
      'left out a message of role assistant that says nothing',
    ])
  })

  it('is sent as it is where nothing is wrong with it', async () => {
    await tell([{ role: 'system', content: 'x' }, user('a')], assistant(null, { tool_calls: [call] }))
    await tell({ role: 'tool', tool_call_id: 'c1', content: '' }, assistant('', { refusal: null }))
    const { history, repaired } = await sent()
    expect(history).to.deep.equal(await stored())
    expect(repaired).to.deep.equal([])
  })
})
