import { expect } from 'chai'

import type { Turnlog } from '../../lib/index.js'
import type { Message } from '../../lib/model/message.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { refusal } from './refusal.js'

const user = (content: string): Message => ({ role: 'user', content })
const assistant = (content: string): Message => ({ role: 'assistant', content })
const system = (content: string): Message => ({ role: 'system', content })
const calling = (...ids: string[]): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })),
})
const result = (id: string): Message => ({ role: 'tool', tool_call_id: id, content: 'ok' })

describe('messages, appended to a real store', () => {
  let core: FreshCore
  let turnlog: Turnlog
  let session: { userId: string; sessionId: string }

  before(async () => {
    core = await freshCore()
    turnlog = core.turnlog
  })
  after(() => core.end())

  beforeEach(async () => {
    const { id } = await turnlog.sessions.create({ userId: 'ann' })
    session = { userId: 'ann', sessionId: id }
  })

  const append = (...messages: Message[]) => turnlog.messages.append({ ...session, messages })

  /** What a provider would be sent for one more question. */
  async function prompt(question: string): Promise<readonly Message[]> {
    const turn = await turnlog.begin({ ...session, question })
    await turn.discard()
    return turn.messages
  }

  async function listed(): Promise<Message[]> {
    const page = await turnlog.messages.list(session)
    return page!.data.map(({ message }) => message)
  }

  it('are the history of the next prompt, as they were given', async () => {
    const conversation = [
      user('a'),
      assistant('b'),
      user('c'),
      calling('1', '2'),
      result('1'),
      result('2'),
      assistant('d'),
    ]
    expect(await append(...conversation)).to.deep.equal({ turns: [1, 2] })
    expect(await prompt('e')).to.deep.equal([...conversation, user('e')])
    expect(await listed()).to.deep.equal(conversation)
  })

  it('greet before anybody asks', async () => {
    await append(assistant('Welcome'))
    expect(await prompt('hello')).to.deep.equal([assistant('Welcome'), user('hello')])
    expect((await turnlog.sessions.find({ userId: 'ann', id: session.sessionId }))?.messageCount).to.equal(1)
  })

  it('pin leading system messages in front of what came before', async () => {
    await append(user('a'), assistant('b'))
    await append(system('be brief'), user('c'), assistant('d'))
    const before = [system('be brief'), user('a'), assistant('b'), user('c'), assistant('d')]
    expect(await prompt('e')).to.deep.equal([...before, user('e')])
  })

  it('pin a system message that comes alone', async () => {
    await append(user('a'), assistant('b'))
    await append(system('be brief'))
    expect(await prompt('c')).to.deep.equal([system('be brief'), user('a'), assistant('b'), user('c')])
  })

  it('join the exchange of the call whose results they bring', async () => {
    await append(user('a'), calling('1'))
    await append(user('b'), assistant('between'))
    expect(await append(result('1'), assistant('done'))).to.deep.equal({ turns: [3] })
    expect(await prompt('c')).to.deep.equal([
      user('a'),
      calling('1'),
      result('1'),
      assistant('done'),
      user('b'),
      assistant('between'),
      user('c'),
    ])
  })

  it('are seen at once by a process whose window is warm', async () => {
    await append(user('a'), assistant('b'))
    const turn = await turnlog.begin({ ...session, question: 'c' })
    await turn.complete('d')
    await append(assistant('by the way'))
    expect((await prompt('e')).slice(-2)).to.deep.equal([assistant('by the way'), user('e')])
  })

  it('are refused when they answer a call that nobody made', async () => {
    const error = await refusal(() => append(result('9')))
    expect(error).to.include({ status: 400, param: 'messages' })
    expect(await listed()).to.deep.equal([])
  })

  it('go to nobody else’s session, and to none that is deleted', async () => {
    const messages = [user('a')]
    expect(await turnlog.messages.append({ ...session, userId: 'bob', messages })).to.equal(undefined)
    expect(await listed()).to.deep.equal([])
    await turnlog.sessions.delete({ userId: 'ann', id: session.sessionId })
    expect(await append(...messages)).to.equal(undefined)
    expect(await turnlog.messages.list(session)).to.equal(undefined)
  })

  it('survive with NUL, lone surrogates and names of the prototype', async () => {
    const odd = JSON.parse(
      '{"role":"user","content":"\\u0000\\ud800","__proto__":{"a":1},"constructor":2}',
    ) as Message
    await append(odd)
    expect(JSON.stringify((await listed())[0])).to.equal(JSON.stringify(odd))
    expect(JSON.stringify((await prompt('b'))[0])).to.equal(JSON.stringify(odd))
  })
})
