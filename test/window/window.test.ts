import { expect } from 'chai'
import { assert, integer, property } from 'fast-check'
import { countMessages } from '../../lib/model/history.js'
import type { Message } from '../../lib/model/message.js'
import { cutWindow, type Window, type WindowRequest } from '../../lib/window/window.js'
import {
  aHistory,
  assistant,
  aTurn,
  calls,
  held,
  pairs,
  readNewest,
  recordedConversations,
  refusal,
  requestsOf,
  result,
  user,
  type Request,
} from './conversation.js'
import { generatedRequest } from './generated.js'

const cut = (request: Partial<WindowRequest>): Window =>
  cutWindow({ history: aHistory([]), question: held([user('now?')]), limit: 20, pairs, ...request })

const chat = (count: number) =>
  Array.from({ length: count }, (_, at) =>
    aTurn(at + 1, at + 1, [user(`q${at + 1}`), assistant(`a${at + 1}`)]),
  )

/** One exchange of so many steps whose newest call waits for its result. */
const loop = (steps: number) =>
  Array.from({ length: steps }, (_, at) =>
    aTurn(at + 1, 1, [at === 0 ? user('q') : result(`c${at - 1}`), calls(`c${at}`)]),
  )

const textOf = (messages: readonly Message[]): unknown[] => messages.map((message) => message.content)

/** How many messages must stay: the opening of the running exchange and its newest step. */
function leastOf({ history, exchange }: Request): number {
  const running = history.turns.filter((turn) => turn.exchange === exchange).flatMap((turn) => turn.messages)
  if (running.length === 0) return 0
  const opening = running.findIndex(({ message }) => pairs.calls(message).length > 0)
  const step = running.findLastIndex(({ message }) => pairs.calls(message).length > 0)
  return step < 0 ? running.length : opening + running.length - step
}

const stored = ({ history, exchange }: Request): number =>
  countMessages(history.turns.filter((turn) => turn.exchange === exchange))

/** What holds for every window, whatever was asked. */
function expectWhole(request: Request, limit: number, window: Window): void {
  expect(refusal(window.messages), `limit ${limit}`).to.equal(undefined)
  expect(window.unanswered).to.deep.equal([])
  expect(window.orphaned).to.deep.equal([])
  expect(window.history.length).to.be.at.most(Math.max(limit, leastOf(request)))
  expect(window.messages.slice(0, window.history.length)).to.deep.equal(window.history)
  expect(window.messages.slice(window.history.length)).to.deep.equal(
    request.question.map(({ message }) => message),
  )
  expect(window.injected).to.equal(window.system.length + window.history.length)
  expectOrder(request, window)
  expectWholeExchanges(request, window)
}

/** Every message that is sent as it was stored stands at its place among the others. */
function expectOrder({ history }: Request, window: Window): void {
  const stored = history.turns.flatMap((turn) => turn.messages.map(({ message }) => message))
  const places = window.history.map((message) => stored.indexOf(message)).filter((place) => place >= 0)
  expect(places).to.deep.equal(places.toSorted((a, b) => a - b))
  expect(new Set(places).size).to.equal(places.length)
}

/** An exchange that is sent begins with its opening, and those that are sent are the newest of the acceptable ones. */
function expectWholeExchanges({ history, exchange = Infinity }: Request, window: Window): void {
  const sent = new Set(window.history)
  const numbers = [...new Set(history.turns.map((turn) => turn.exchange))].filter(
    (number) => number <= exchange,
  )
  const shown = numbers.filter((number) =>
    history.turns.some(
      (turn) => turn.exchange === number && turn.messages.some(({ message }) => sent.has(message)),
    ),
  )
  for (const number of shown) {
    const [first] = history.turns.find((turn) => turn.exchange === number)!.messages
    expect(sent.has(first!.message), `exchange ${number} begins with its opening`).to.equal(true)
  }
  const leftOut = numbers.filter((number) => number > (shown[0] ?? Infinity) && !shown.includes(number))
  for (const number of leftOut) {
    const messages = history.turns.filter((turn) => turn.exchange === number).flatMap((turn) => turn.messages)
    expect(refusal(messages.map(({ message }) => message)), `exchange ${number} stays out`).to.be.a('string')
  }
}

describe('window', () => {
  it('puts the history before the question', () => {
    const window = cut({ history: aHistory(chat(2)) })
    expect(textOf(window.messages)).to.deep.equal(['q1', 'a1', 'q2', 'a2', 'now?'])
    expect(window).to.include({ injected: 4, dropped: 0 })
    expect(window).to.not.have.property('trimmedBy')
  })

  it('keeps the newest whole exchanges that fit', () => {
    const window = cut({ history: aHistory(chat(5)), limit: 5 })
    expect(textOf(window.history)).to.deep.equal(['q4', 'a4', 'q5', 'a5'])
    expect(window).to.include({ injected: 4, dropped: 6, trimmedBy: 'messages' })
  })

  it('says that older messages were not even read', () => {
    expect(cut({ history: aHistory(chat(5), { from: 1 }) }).trimmedBy).to.equal('messages')
  })

  it('does not reach over an exchange that does not fit', () => {
    const long = aTurn(2, 2, [user('long'), user('longer'), user('longest'), assistant('a')])
    const turns = [...chat(1), long, aTurn(3, 3, [user('q3'), assistant('a3')])]
    expect(textOf(cut({ history: aHistory(turns), limit: 4 }).history)).to.deep.equal(['q3', 'a3'])
  })

  it('sends the pinned messages apart and does not count them', () => {
    const system = held([{ role: 'system', content: 'Be kind.' }])
    const window = cut({ history: aHistory(chat(2), { system }), limit: 2 })
    expect(textOf(window.system)).to.deep.equal(['Be kind.'])
    expect(window.injected).to.equal(3)
    expect(window.history).to.have.length(2)
  })

  it('leaves out an exchange whose calls nobody answered', () => {
    const turns = [
      ...chat(1),
      aTurn(2, 2, [user('look'), calls('c1')]),
      aTurn(3, 3, [user('q3'), assistant('a3')]),
    ]
    const window = cut({ history: aHistory(turns) })
    expect(textOf(window.history)).to.deep.equal(['q1', 'a1', 'q3', 'a3'])
    expect(window.repaired).to.deep.equal(['left out exchange 2: calls without results'])
  })

  it('counts what it leaves out against the limit, so that the depth of reading changes nothing', () => {
    const turns = [
      ...chat(1),
      aTurn(2, 2, [user('look'), calls('c1')]),
      aTurn(3, 3, [user('q3'), assistant('a3')]),
    ]
    expect(textOf(cut({ history: aHistory(turns), limit: 5 }).history)).to.deep.equal(['q3', 'a3'])
  })

  it('joins the results of the question to their exchange', () => {
    const turns = [...chat(1), aTurn(2, 2, [user('look'), calls('c1', 'c2')])]
    const question = held([result('c1'), result('c2')])
    const window = cut({ history: aHistory(turns), exchange: 2, question })
    expect(refusal(window.messages)).to.equal(undefined)
    expect(window.messages).to.have.length(6)
  })

  it('names the calls that the question leaves unanswered', () => {
    const history = aHistory([aTurn(1, 1, [user('look'), calls('c1', 'c2')])])
    expect(cut({ history, exchange: 1, question: held([result('c1')]) }).unanswered).to.deep.equal(['c2'])
  })

  it('takes a stored result into account', () => {
    const history = aHistory([aTurn(1, 1, [user('look'), calls('c1', 'c2'), result('c1')])])
    const window = cut({ history, exchange: 1, question: held([result('c2')]) })
    expect(window.unanswered).to.deep.equal([])
    expect(refusal(window.messages)).to.equal(undefined)
  })

  it('names results whose call nobody made', () => {
    const history = aHistory([aTurn(1, 1, [user('look'), calls('c1')])])
    const window = cut({ history, exchange: 1, question: held([result('c1'), result('c9')]) })
    expect(window.orphaned).to.deep.equal(['c9'])
  })

  it('keeps exchanges that began after the running one out of it', () => {
    const turns = [aTurn(1, 1, [user('look'), calls('c1')]), aTurn(2, 2, [user('other tab'), assistant('a')])]
    const window = cut({ history: aHistory(turns), exchange: 1, question: held([result('c1')]) })
    expect(window.messages).to.have.length(3)
    expect(window.dropped).to.equal(2)
  })

  it('drops whole steps between the opening and the newest step when the exchange alone is too long', () => {
    const window = cut({ history: aHistory(loop(6)), limit: 6, exchange: 1, question: held([result('c5')]) })
    const named = window.history.flatMap((message) => pairs.calls(message))
    expect(window.history[0]).to.deep.equal(user('q'))
    expect(named).to.deep.equal(['c3', 'c4', 'c5'])
    expect(refusal(window.messages)).to.equal(undefined)
    expect(window.trimmedBy).to.equal('messages')
  })

  it('keeps the opening and the step being answered whatever the limit', () => {
    const window = cut({ history: aHistory(loop(6)), limit: 1, exchange: 1, question: held([result('c5')]) })
    expect(window.history).to.deep.equal([user('q'), calls('c5')])
  })

  it('drops results that lost their call where the exchange was cut in its middle', () => {
    const [opening, ...rest] = loop(6)
    const history = aHistory([opening!, ...rest.slice(-2)], { from: 9 })
    const window = cut({ history, exchange: 1, question: held([result('c5')]) })
    expect(window.history).to.deep.equal([user('q'), calls('c4'), result('c4'), calls('c5')])
    expect(window.trimmedBy).to.equal('messages')
  })

  it('does not join a call to results from behind the cut, where ids are used again', () => {
    const call = (step: number): Message => ({ ...calls('call_0'), content: `step ${step}` })
    const turns = [
      aTurn(1, 1, [user('q'), call(1)]),
      aTurn(7, 1, [result('call_0'), call(7)]),
      aTurn(8, 1, [result('call_0'), call(8)]),
    ]
    const request = { exchange: 1, question: held([result('call_0')]) }
    const window = cut({ ...request, history: aHistory(turns, { from: 9 }) })
    expect(window.history).to.deep.equal([user('q'), call(7), result('call_0'), call(8)])
    expect(cut({ ...request, history: aHistory(turns) }).history).to.have.length(6)
  })

  it('drops a stored result whose call is not in its step', () => {
    const history = aHistory([aTurn(1, 1, [user('q'), calls('c1'), result('c1'), result('c7'), calls('c2')])])
    const window = cut({ history, exchange: 1, question: held([result('c2')]) })
    expect(window.history).to.deep.equal([user('q'), calls('c1'), result('c1'), calls('c2')])
  })

  it('closes off an interrupted answer and says so', () => {
    const interrupted = aTurn(1, 1, [user('q'), { ...calls('c1'), content: 'let me see' }], 'interrupted')
    const window = cut({ history: aHistory([interrupted]) })
    expect(window.history).to.deep.equal([user('q'), assistant('let me see')])
    expect(window.repaired).to.deep.equal(['closed off the interrupted answer of turn 1'])
  })

  it('keeps the question of an interrupted turn of whose answer nothing is left', () => {
    const window = cut({ history: aHistory([aTurn(1, 1, [user('q'), calls('c1')], 'interrupted')]) })
    expect(window.history).to.deep.equal([user('q')])
    expect(window.dropped).to.equal(1)
  })

  it('keeps an interrupted call that the question answers', () => {
    const history = aHistory([aTurn(1, 1, [user('q'), calls('c1')], 'interrupted')])
    const window = cut({ history, exchange: 1, question: held([result('c1')]) })
    expect(refusal(window.messages)).to.equal(undefined)
    expect(window.unanswered).to.deep.equal([])
  })

  it('sends results that are given again once, after an interrupted answer', () => {
    const turns = [
      aTurn(1, 1, [user('look'), calls('c1')]),
      aTurn(2, 1, [result('c1'), assistant('I was')], 'interrupted'),
    ]
    const window = cut({ history: aHistory(turns), exchange: 1, question: held([result('c1')]) })
    expect(window.messages).to.deep.equal([user('look'), calls('c1'), result('c1')])
    expect(window.repaired).to.deep.equal(['left out turn 2: its tool results are given again'])
  })

  it('understands call ids that are used again in every step', () => {
    const turns = [
      aTurn(1, 1, [user('look'), calls('call_0')]),
      aTurn(2, 1, [result('call_0'), calls('call_0')]),
      aTurn(3, 1, [result('call_0'), assistant('done')]),
    ]
    expect(cut({ history: aHistory(turns) }).history).to.have.length(6)
  })

  it('leaves out the part of an exchange that `from` says is not whole', () => {
    const turns = [aTurn(3, 1, [user('more'), assistant('a')]), aTurn(4, 4, [user('q4'), assistant('a4')])]
    expect(textOf(cut({ history: aHistory(turns, { from: 4 }) }).history)).to.deep.equal(['q4', 'a4'])
  })

  it('changes nothing of what it was given', () => {
    const history = aHistory([aTurn(1, 1, [user('q'), calls('c1')], 'interrupted'), ...chat(3).slice(1)])
    const before = structuredClone(history)
    cut({ history, limit: 2 })
    expect(history).to.deep.equal(before)
  })

  it('is whole at every limit for every generated session', () => {
    assert(
      property(generatedRequest(), integer({ min: 1, max: 50 }), (request, limit) => {
        expectWhole(request, limit, cut({ ...request, limit }))
      }),
      { numRuns: 1500 },
    )
  })

  it('is whole when only the newest messages were read, and the same as from the whole history', () => {
    assert(
      property(generatedRequest(), integer({ min: 1, max: 50 }), (request, limit) => {
        const history = readNewest(request.history, limit, request.exchange)
        const window = cut({ ...request, history, limit })
        expectWhole({ ...request, history }, limit, window)
        // An exchange longer than the limit was cut by whole turns, which may part the oldest step that would fit.
        if (stored(request) > limit) return
        expect(window.history).to.deep.equal(cut({ ...request, limit }).history)
        const chunked = { ...request, limit, trim: 'chunked' } as const
        expect(cut({ ...chunked, history }).history).to.deep.equal(cut(chunked).history)
      }),
      { numRuns: 1500 },
    )
  })

  it('is whole in loops of a hundred steps', () => {
    const request = { history: aHistory(loop(100)), exchange: 1, question: held([result('c99')]) }
    for (let limit = 1; limit <= 210; limit++) {
      const window = cut({ ...request, limit })
      expectWhole(request, limit, window)
      expect(window.history.length).to.be.at.least(Math.min(limit - 1, 200))
    }
  })

  it('is whole at every limit for every request of the recorded conversations', () => {
    for (const { messages } of recordedConversations()) {
      for (const request of requestsOf(messages)) {
        for (let limit = 1; limit <= 50; limit++) expectRecorded(request, limit)
      }
    }
  })
})

/** The recorded conversations are long: the cheap checks alone. */
function expectRecorded(request: Request, limit: number): void {
  const window = cut({ ...request, limit })
  if (refusal(window.messages) !== undefined) expect.fail(`limit ${limit}: ${refusal(window.messages)}`)
  if (window.history.length > Math.max(limit, leastOf(request))) expect.fail(`limit ${limit} is passed`)
  if (window.unanswered.length + window.orphaned.length + window.repaired.length > 0)
    expect.fail('nothing to repair')
}
