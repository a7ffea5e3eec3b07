import { expect } from 'chai'

import type { Message } from '../../lib/model/message.js'
import { createMessages, type MessageFormat } from '../../lib/sessions/messages.js'
import { recordingStore } from './recording-store.js'
import { refusal } from './refusal.js'

const session = { userId: 'ann', sessionId: 'sess_1' }

/** OpenAI's tool calls, as far as these tests need them. */
const format: MessageFormat = {
  name: 'openai-chat',
  calls: ({ tool_calls }) => ((tool_calls ?? []) as { id: string }[]).map(({ id }) => id),
  answers: ({ role, tool_call_id }) => (role === 'tool' ? [tool_call_id as string] : []),
}

const user = (content: string): Message => ({ role: 'user', content })
const assistant = (content: string): Message => ({ role: 'assistant', content })
const system = (content: string): Message => ({ role: 'system', content })
const calling = (...ids: string[]): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })),
})
const result = (id: string): Message => ({ role: 'tool', tool_call_id: id, content: 'ok' })

describe('messages', () => {
  async function append(...messages: Message[]) {
    const { store, begins, completions } = recordingStore()
    const appended = await createMessages(store, format).append({ ...session, messages })
    return { appended, begins: begins(), completions: completions() }
  }

  it('stores one done turn for each message of the user', async () => {
    const { appended, begins, completions } = await append(
      user('a'),
      assistant('b'),
      user('c'),
      assistant('d'),
    )
    expect(appended).to.deep.equal({ turns: [1, 2] })
    expect(begins.map(({ question }) => question)).to.deep.equal([
      [{ message: user('a') }],
      [{ message: user('c') }],
    ])
    expect(completions.map(({ ending }) => ending)).to.deep.equal(['done', 'done'])
    expect(completions.map(({ answer }) => answer)).to.deep.equal([
      [{ message: assistant('b') }],
      [{ message: assistant('d') }],
    ])
  })

  it('completes each turn with the nonce that began it, fresh for every turn', async () => {
    const { begins, completions } = await append(user('a'), user('b'))
    expect(completions.map(({ nonce }) => nonce)).to.deep.equal(begins.map(({ nonce }) => nonce))
    expect(new Set(begins.map(({ nonce }) => nonce)).size).to.equal(2)
  })

  it('stores a greeting as a turn without a question', async () => {
    const { begins, completions } = await append(assistant('Welcome'))
    expect(begins[0]!.question).to.deep.equal([])
    expect(completions[0]!.answer).to.deep.equal([{ message: assistant('Welcome') }])
  })

  it('pins leading system messages once', async () => {
    const { begins } = await append(system('be brief'), user('a'), assistant('b'), user('c'))
    expect(begins.map(({ system }) => system)).to.deep.equal([[{ message: system('be brief') }], []])
  })

  it('pins a system message that comes alone', async () => {
    const { begins, completions } = await append(system('be brief'))
    expect(begins).to.have.length(1)
    expect(begins[0]!.system).to.have.length(1)
    expect(completions[0]!.answer).to.deep.equal([])
  })

  it('keeps a whole tool loop in the turn of its question', async () => {
    const loop = [calling('1', '2'), result('1'), result('2'), assistant('done')]
    const { begins, completions } = await append(user('go'), ...loop)
    expect(begins).to.have.length(1)
    expect(completions[0]!.answer.map(({ message }) => message)).to.deep.equal(loop)
    expect(completions[0]!.calls).to.deep.equal([])
  })

  it('names the calls that an answer still waits for', async () => {
    const { completions } = await append(user('go'), calling('1', '2'), result('1'))
    expect(completions[0]!.calls).to.deep.equal(['2'])
  })

  it('asks by results that come first, which join the exchange of their call', async () => {
    const { begins, completions } = await append(result('1'), result('2'), assistant('done'))
    expect(begins).to.have.length(1)
    expect(begins[0]!.answers).to.deep.equal(['1', '2'])
    expect(begins[0]!.question).to.have.length(2)
    expect(completions[0]!.answer).to.have.length(1)
  })

  it('keeps whatever a message holds', async () => {
    const odd = JSON.parse(
      '{"role":"user","content":[{"type":"text","text":"\\u0000\\ud800"}],"__proto__":1}',
    ) as Message
    const { begins } = await append(odd)
    expect(begins[0]!.question[0]!.message).to.equal(odd)
  })

  it('answers nothing when there is no such session', async () => {
    const { store } = recordingStore({ beginTurn: { status: 'no_session' }, listMessages: undefined })
    const messages = createMessages(store, format)
    expect(await messages.append({ ...session, messages: [user('a')] })).to.equal(undefined)
    expect(await messages.list(session)).to.equal(undefined)
  })

  it('says so when the session is cleared between question and answer', async () => {
    const { store } = recordingStore({ completeTurn: { status: 'cleared' } })
    const error = await refusal(() =>
      createMessages(store, format).append({ ...session, messages: [user('a')] }),
    )
    expect(error).to.include({ status: 409, code: 'append_refused' })
  })

  it('lists by every kind of page', async () => {
    const { store, asked } = recordingStore()
    const messages = createMessages(store, format)
    await messages.list({ ...session, limit: 5, before: 'x', order: 'desc' })
    expect(asked[0]!.given).to.deep.equal([session, { limit: 5, before: 'x', order: 'desc' }])
  })

  describe('refuses, and writes nothing:', () => {
    const refused: [string, unknown, string, string][] = [
      ['no array', 'hello', 'messages', 'must be an array of 1 to 1000 messages, got "hello"'],
      ['no message', [], 'messages', 'got 0'],
      ['1,001 messages', Array.from({ length: 1001 }, () => user('a')), 'messages', 'got 1001'],
      ['a message that is text', ['hello'], 'messages[0]', 'an object with role and content'],
      ['a message without a role', [user('a'), { content: 'b' }], 'messages[1].role', 'got nothing'],
      ['a slip in the role', [{ role: 'asistant' }], 'messages[0].role', 'Did you mean "assistant"?'],
      ['a role of the prototype', [{ role: 'constructor' }], 'messages[0].role', 'one of system'],
      ['a date', [{ role: 'user', content: new Date() }], 'messages[0]', 'messages[0].content must be JSON'],
      ['a result without its call', [user('a'), result('9')], 'messages', '"9"'],
      [
        'a result whose call is in an earlier exchange',
        [user('a'), calling('9'), user('b'), result('9')],
        'messages',
        '"9"',
      ],
    ]
    for (const [name, messages, param, words] of refused) {
      it(name, async () => {
        const { store, asked } = recordingStore()
        const error = await refusal(() =>
          createMessages(store, format).append({ ...session, messages: messages as Message[] }),
        )
        expect(error).to.include({ status: 400, param })
        expect(error.message).to.include(words)
        expect(asked).to.deep.equal([])
      })
    }

    it('results whose call the session does not know', async () => {
      const { store } = recordingStore({ beginTurn: { status: 'orphaned' } })
      const error = await refusal(() =>
        createMessages(store, format).append({ ...session, messages: [result('9')] }),
      )
      expect(error).to.include({ status: 400, param: 'messages' })
    })
  })
})
