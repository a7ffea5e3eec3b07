import { expect } from 'chai'
import { array, assert, constantFrom, integer, property } from 'fast-check'
import type { HistoryTurn } from '../../lib/model/history.js'
import type { Message } from '../../lib/model/message.js'
import { canonical, findResent } from '../../lib/window/resent.js'
import {
  aHistory,
  assistant,
  aTurn,
  calls,
  recordedConversations,
  requestsOf,
  result,
  user,
} from './conversation.js'

const turnsOf = (...said: readonly Message[][]): HistoryTurn[] =>
  said.map((messages, at) => aTurn(at + 1, at + 1, messages))

const twoTurns = turnsOf([user('q1'), assistant('a1')], [user('q2'), assistant('a2')])
const sentAgain = [user('q1'), assistant('a1'), user('q2'), assistant('a2')]

const find = (messages: readonly Message[], turns = twoTurns, from = 0) =>
  findResent(aHistory(turns, { from }), messages)

describe('resent history', () => {
  it('is recognised when all of it is sent again', () => {
    expect(find([...sentAgain, user('q3')])).to.deep.equal({ status: 'resent', from: 4 })
  })

  it('is recognised when its end is sent again', () => {
    expect(find([...sentAgain.slice(2), user('q3')])).to.deep.equal({ status: 'resent', from: 2 })
  })

  it('is recognised by an assistant message alone', () => {
    expect(find([assistant('a2'), user('q3')])).to.deep.equal({ status: 'resent', from: 1 })
  })

  it('is recognised with more than one new message', () => {
    expect(find([...sentAgain, user('q3'), user('and')])).to.deep.equal({ status: 'resent', from: 4 })
  })

  it('is recognised when only its newest part was read', () => {
    expect(find([...sentAgain, user('q3')], twoTurns.slice(1), 2)).to.deep.equal({
      status: 'resent',
      from: 4,
    })
  })

  it('is not longer than what is stored when all of it was read', () => {
    expect(find([...sentAgain, user('q3')], twoTurns.slice(1), 0)).to.deep.equal({ status: 'new' })
  })

  it('may bring nothing new', () => {
    expect(find(sentAgain)).to.deep.equal({ status: 'resent', from: 4 })
  })

  it('takes the same question twice for two questions', () => {
    const turns = turnsOf([user('hello'), assistant('hi')])
    expect(find([user('hello')], turns)).to.deep.equal({ status: 'new' })
    expect(find([user('hello'), assistant('hi'), user('hello')], turns)).to.deep.equal({
      status: 'resent',
      from: 2,
    })
  })

  it('takes the longest run where questions repeat', () => {
    const hello = [user('hello'), assistant('hi')]
    const turns = turnsOf(hello, hello)
    expect(find([...hello, ...hello, user('hello')], turns)).to.deep.equal({ status: 'resent', from: 4 })
    expect(find([...hello, user('hello')], turns)).to.deep.equal({ status: 'resent', from: 2 })
  })

  it('does not end in a message that the user said', () => {
    const turns = [aTurn(1, 1, [user('q1')], 'interrupted')]
    expect(find([user('q1'), assistant('mine'), user('q2')], turns)).to.deep.equal({
      status: 'diverged',
      at: 1,
      turn: 1,
    })
  })

  it('is not seen in examples that the session never held', () => {
    expect(find([user('example'), assistant('answer'), user('q3')])).to.deep.equal({ status: 'new' })
    expect(find([user('example'), assistant('answer'), user('q3')], [])).to.deep.equal({ status: 'new' })
  })

  it('is not seen in one question that happens to be asked again', () => {
    const examples = [user('q2'), assistant('as I would say it'), user('q3')]
    expect(find(examples)).to.deep.equal({ status: 'new' })
    expect(find([user('example'), ...examples], twoTurns.slice(1), 2)).to.deep.equal({ status: 'new' })
  })

  it('parts from the stored one where a question was edited', () => {
    const edited = [user('q1'), assistant('a1'), user('q2, but better')]
    expect(find(edited)).to.deep.equal({ status: 'diverged', at: 2, turn: 2 })
  })

  it('parts from the stored one where an answer is wanted again', () => {
    expect(find(sentAgain.slice(0, 3))).to.deep.equal({ status: 'diverged', at: 2, turn: 2 })
  })

  it('parts from the stored one where an answer was edited', () => {
    const edited = [user('q1'), assistant('what I wanted to hear'), user('q2')]
    expect(find(edited)).to.deep.equal({ status: 'diverged', at: 1, turn: 1 })
  })

  it('parts from the stored one behind what was not read', () => {
    const [, ...read] = turnsOf(
      [user('q1'), assistant('a1')],
      [user('q2'), assistant('a2')],
      [user('q3'), assistant('a3')],
    )
    expect(find([...sentAgain, user('other')], read, 2)).to.deep.equal({ status: 'diverged', at: 4, turn: 3 })
  })

  it('goes on with the results of a tool', () => {
    const turns = turnsOf([user('look'), calls('c1', 'c2')])
    const sent = [user('look'), calls('c1', 'c2'), result('c1'), result('c2')]
    expect(find(sent, turns)).to.deep.equal({ status: 'resent', from: 2 })
    expect(find([result('c1'), result('c2')], turns)).to.deep.equal({ status: 'new' })
  })

  it('is recognised in every request of the recorded conversations, whole and by its end', () => {
    for (const { messages } of recordedConversations()) {
      for (const { history, question } of requestsOf(messages).slice(1)) {
        const stored = history.turns.flatMap((turn) => turn.messages.map(({ message }) => message))
        const asked = question.map(({ message }) => message)
        expect(findResent(history, [...stored, ...asked])).to.deep.equal({
          status: 'resent',
          from: stored.length,
        })
        const read = { ...history, turns: history.turns.slice(-3), from: history.turns.at(-3)?.turn ?? 0 }
        expect(findResent(read, [...stored, ...asked])).to.deep.equal({
          status: 'resent',
          from: stored.length,
        })
      }
    }
  })

  it('is what the plain search finds', () => {
    const message = constantFrom(user('x'), user('y'), assistant('x'), assistant('y'))
    assert(
      property(array(message, { maxLength: 8 }), array(message, { maxLength: 8 }), (stored, sent) => {
        const found = find(sent, stored.length > 0 ? turnsOf(stored) : [])
        const run = plainSearch(stored, sent)
        if (run > 0) expect(found).to.deep.equal({ status: 'resent', from: run })
        else expect(found.status).to.not.equal('resent')
      }),
      { numRuns: 3000 },
    )
  })

  it('takes time that grows with the number of messages, whatever repeats', () => {
    const repeated = (count: number): Message[] => Array.from({ length: count }, () => user('x'))
    const turns = [aTurn(1, 1, [...repeated(1000), assistant('x')])]
    const sent = [...repeated(100_000), assistant('x'), user('x')]
    expect(find(sent, turns, 1)).to.deep.equal({ status: 'resent', from: 100_001 })
  })
})

/** The longest run at the beginning of what was sent that equals the end of what is stored and ends in an assistant's message. */
function plainSearch(stored: readonly Message[], sent: readonly Message[]): number {
  for (let length = Math.min(stored.length, sent.length); length > 0; length--) {
    const same = sent.slice(0, length).every((message, at) => message === stored[stored.length - length + at])
    if (same && sent[length - 1]!.role === 'assistant') return length
  }
  return 0
}

describe('canonical messages', () => {
  const same: readonly [string, Message, Message][] = [
    ['a text and its one part', user('hi'), { role: 'user', content: [{ type: 'text', text: 'hi' }] }],
    ['another order of keys', { content: 'hi', role: 'user' }, user('hi')],
    ['null and absent fields', { ...assistant('hi'), refusal: null, tool_calls: undefined }, assistant('hi')],
    ['null, empty and absent content', { ...calls('c1'), content: '' }, { ...calls('c1'), content: null }],
    [
      'what clients do not send back',
      { ...assistant('hi'), annotations: [], reasoning_content: 'hm' },
      assistant('hi'),
    ],
    [
      'a mark for the cache',
      { role: 'user', content: [{ type: 'text', text: 'hi', cache_control: { type: 'ephemeral' } }] },
      user('hi'),
    ],
    [
      'thoughts before the text',
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 's' },
          { type: 'text', text: 'hi' },
        ],
      },
      assistant('hi'),
    ],
    [
      'null fields inside',
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'image_url', image_url: { url: 'u', detail: null } },
        ],
      },
      {
        role: 'user',
        content: [
          { text: 'a', type: 'text' },
          { image_url: { url: 'u' }, type: 'image_url' },
        ],
      },
    ],
  ]
  for (const [name, one, other] of same) {
    it(`are equal over ${name}`, () => {
      expect(canonical(one)).to.equal(canonical(other))
    })
  }

  const different: readonly [string, Message, Message][] = [
    ['roles', user('hi'), assistant('hi')],
    ['texts', user('hi'), user('Hi')],
    ['names', { ...user('hi'), name: 'Ann' }, user('hi')],
    ['calls', calls('c1'), calls('c2')],
    ['calls made and not', { ...calls('c1'), content: 'hi' }, assistant('hi')],
    ['results', result('c1'), { ...result('c1'), tool_call_id: 'c2' }],
    [
      'a text and two parts',
      user('hi'),
      {
        role: 'user',
        content: [
          { type: 'text', text: 'h' },
          { type: 'text', text: 'i' },
        ],
      },
    ],
    ['unknown fields', { ...user('hi'), weather: 'fine' }, user('hi')],
    [
      'calls in blocks',
      { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'look', input: {} }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 't2', name: 'look', input: {} }] },
    ],
  ]
  for (const [name, one, other] of different) {
    it(`differ over ${name}`, () => {
      expect(canonical(one)).to.not.equal(canonical(other))
    })
  }

  it('take any content', () => {
    assert(
      property(integer(), (number) => {
        for (const content of [
          number,
          null,
          [null],
          [[number]],
          {},
          [{ type: 'text' }],
          [{ type: 'text', text: number }],
        ])
          expect(canonical({ role: 'user', content })).to.be.a('string')
      }),
    )
  })
})
