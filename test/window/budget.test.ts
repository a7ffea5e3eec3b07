import { expect } from 'chai'
import { assert, integer, property, sample } from 'fast-check'
import { ContextLengthExceeded } from '../../lib/model/errors.js'
import { countMessages, type History } from '../../lib/model/history.js'
import type { HistoryMessage } from '../../lib/model/message.js'
import { budgetOf, tooLong } from '../../lib/window/budget.js'
import { limitsOf } from '../../lib/window/limits.js'
import { cutWindow, type Trim, type Window } from '../../lib/window/window.js'
import {
  aHistory,
  assistant,
  aTurn,
  calls,
  held,
  pairs,
  recordedConversations,
  refusal,
  requestsOf,
  result,
  user,
  type Request,
} from './conversation.js'
import { generatedRequest } from './generated.js'

const cut = (request: Request, limit: number, budget?: number, trim: Trim = 'sliding'): Window =>
  cutWindow({ ...request, limit, trim, pairs, ...(budget !== undefined && { budget }) })

const sum = (messages: readonly HistoryMessage[]): number =>
  messages.reduce((all, { tokens = 0 }) => all + tokens, 0)

const storedTokens = ({ system, turns }: History): number =>
  sum([...system, ...turns.flatMap(({ messages }) => messages)])

/** The same request with counts so small that every budget can be tried. */
function inSmall(request: Request): Request {
  const small = ({ message }: HistoryMessage) => ({
    message,
    tokens: 1 + Math.floor(JSON.stringify(message).length / 400),
  })
  const turns = request.history.turns.map((turn) => ({ ...turn, messages: turn.messages.map(small) }))
  return { ...request, history: { ...request.history, turns, system: request.history.system.map(small) } }
}

/** Every budget from nothing to the whole: what is sent fits, grows with the budget, keeps the newest, and would be accepted. */
function expectEveryBudget(request: Request, trim: Trim, limit = 1000): void {
  const whole = cut(request, limit, undefined, trim)
  let before: Window | undefined
  for (let budget = 0; budget <= storedTokens(request.history) + 1; budget++) {
    const window = cut(request, limit, budget, trim)
    if (window.overflow) expect(window.overflow.needed).to.be.above(budget)
    else expect(window.tokens).to.be.at.most(budget)
    expect(refusal(window.messages)).to.equal(undefined)
    if (before && !before.overflow) expect(window.overflow).to.equal(undefined)
    if (before && trim === 'sliding') expectNewest(before, window)
    before = window
  }
  if (trim === 'sliding') expect(before!.history).to.deep.equal(whole.history)
}

/** What a smaller budget sends is what a larger one sends, with less of its front. */
function expectNewest(smaller: Window, larger: Window): void {
  const sent = new Set(larger.history)
  for (const message of smaller.history) expect(sent.has(message)).to.equal(true)
}

describe('budget', () => {
  const spending = { tools: 100, question: 50 }

  it('is the context less the answer, the tools, the question and the opening of the answer', () => {
    const limits = limitsOf('gpt-4')!
    expect(budgetOf({ limits, outputTokens: 1000, ...spending })).to.deep.equal({
      tokens: 8192 - 1000 - 100 - 50 - 3,
      prompt: 7192,
      reserved: 1000,
      spent: 153,
      ratio: 1,
    })
  })

  it('is held by the input limit where that is lower', () => {
    const limits = limitsOf('gpt-5')!
    expect(budgetOf({ limits, outputTokens: 1000, ...spending }).prompt).to.equal(272_000)
  })

  it('reserves a usual answer when the request does not say', () => {
    expect(budgetOf({ limits: limitsOf('gpt-4o')!, ...spending }).reserved).to.equal(4096)
    expect(budgetOf({ limits: limitsOf('gpt-4')!, ...spending }).reserved).to.equal(2048)
  })

  it('reserves no more than the model can answer', () => {
    expect(budgetOf({ limits: limitsOf('gpt-4o')!, outputTokens: 100_000, ...spending }).reserved).to.equal(
      16_384,
    )
  })

  it('refuses a question that does not fit, with the numbers', () => {
    const limits = limitsOf('gpt-4')!
    const budget = budgetOf({ limits, outputTokens: 1000, tools: 0, question: 9000 })
    const history = aHistory([], { system: [{ message: { role: 'system', content: 'x' }, tokens: 10 }] })
    const { overflow } = cut({ history, question: [] }, 20, budget.tokens)
    const error = tooLong(budget, overflow!)
    expect(error).to.be.instanceOf(ContextLengthExceeded)
    expect(error.message).to.include('at most 7192 tokens').and.include('need 9013')
  })

  it('trims by tokens and says so', () => {
    const turns = [1, 2, 3].map((n) => aTurn(n, n, [user(`q${n}`), assistant(`a${n}`)]))
    const history = aHistory(turns)
    const one = sum(turns[0]!.messages)
    const window = cut({ history, question: [] }, 20, 2 * one)
    expect(window).to.include({ injected: 4, dropped: 2, trimmedBy: 'tokens', tokens: 2 * one })
  })

  it('counts the pinned messages against the tokens', () => {
    const turn = aTurn(1, 1, [user('q'), assistant('a')])
    const system = held([{ role: 'system', content: 'Be kind.' }])
    const window = cut({ history: aHistory([turn], { system }), question: [] }, 20, sum(turn.messages))
    expect(window).to.include({ injected: 1, trimmedBy: 'tokens' })
  })

  it('estimates messages that nobody counted', () => {
    const turn = { ...aTurn(1, 1, []), messages: [{ message: user('word '.repeat(300)) }] }
    expect(cut({ history: aHistory([turn]), question: [] }, 20, 200).history).to.deep.equal([])
    expect(cut({ history: aHistory([turn]), question: [] }, 20, 700).history).to.have.length(1)
  })

  it('says that the running exchange alone is too long', () => {
    const history = aHistory([aTurn(1, 1, [user('q'), calls('c1')])])
    const request = { history, question: held([result('c1')]), exchange: 1 }
    const needed = storedTokens(history)
    expect(cut(request, 20, needed).overflow).to.equal(undefined)
    expect(cut(request, 20, needed - 1).overflow).to.deep.equal({ needed, budget: needed - 1 })
  })

  for (const trim of ['sliding', 'chunked'] as const) {
    it(`is kept at every value for generated sessions (${trim})`, () => {
      for (const request of sample(generatedRequest(8, 4, 5), 100)) expectEveryBudget(inSmall(request), trim)
    })

    it(`is kept at every value for the recorded conversations (${trim})`, () => {
      for (const { messages } of recordedConversations()) {
        const requests = requestsOf(messages)
        for (const request of requests.slice(-2)) expectEveryBudget(inSmall(request), trim)
      }
    })
  }
})

/** A session of turns that are equally large: `each` messages a turn, a turn an exchange. */
const session = (turns: number, each: number) =>
  Array.from({ length: turns }, (_, at) =>
    aTurn(
      at + 1,
      at + 1,
      Array.from({ length: each }, (_, part) =>
        part < each - 1 ? user(`q${at}.${part}`) : assistant(`a${at}`),
      ),
    ),
  )

/** In how many turns the front edge moved, once the window was full: the shortest time between two moves. */
function shortestStay(fronts: readonly unknown[]): number {
  const moves = fronts.flatMap((front, at) => (at > 0 && front !== fronts[at - 1] ? [at] : []))
  return Math.min(...moves.slice(1).map((at, move) => at - moves[move]!))
}

const powerOfTwo = (most: number): number => 2 ** Math.floor(Math.log2(most))

describe('chunked trimming', () => {
  for (const limit of [10, 20, 21, 50, 100]) {
    for (const each of [2, 3, 4]) {
      const fitting = Math.floor(limit / each)
      const stay = Math.min(powerOfTwo(Math.ceil(fitting / 2)), powerOfTwo(Math.max(1, limit / 5)))
      it(`keeps the same front for ${stay} turns of ${each} messages at a limit of ${limit}`, () => {
        const whole = session(300, each)
        const fronts = whole.map((_, at) => {
          const request = { history: aHistory(whole.slice(0, at)), question: held([user('now?')]) }
          return cut(request, limit, undefined, 'chunked').history[0]?.content
        })
        expect(shortestStay(fronts.slice(fitting + 1))).to.equal(stay)
      })
    }
  }

  it('keeps the same front for many turns where tokens alone limit', () => {
    const whole = session(300, 2)
    const fronts = whole.map((turn, at) => {
      const request = { history: aHistory(whole.slice(0, at)), question: held([user('now?')]) }
      return cut(request, 1000, 40 * sum(turn.messages), 'chunked').history[0]?.content
    })
    expect(shortestStay(fronts.slice(60))).to.be.at.least(8)
  })

  it('keeps the same front in a loop of a hundred steps', () => {
    const steps = Array.from({ length: 100 }, (_, at) =>
      aTurn(at + 1, 1, [at === 0 ? user('q') : result(`c${at - 1}`), calls(`c${at}`)]),
    )
    const fronts = steps.map((_, at) => {
      const request = {
        history: aHistory(steps.slice(0, at + 1)),
        question: held([result(`c${at}`)]),
        exchange: 1,
      }
      const window = cut(request, 20, undefined, 'chunked')
      expect(window.history[0]).to.equal(steps[0]!.messages[0]!.message)
      return JSON.stringify(window.history[1])
    })
    expect(shortestStay(fronts.slice(12))).to.equal(4)
  })

  it('keeps at least half of what a sliding window keeps, and the newest of it', () => {
    assert(
      property(generatedRequest(), integer({ min: 1, max: 50 }), (request, limit) => {
        const sliding = cut(request, limit)
        const chunked = cut(request, limit, undefined, 'chunked')
        const exchanges = ({ history }: Window): number =>
          history.filter(({ content }) => String(content).startsWith('question')).length
        expect(refusal(chunked.messages)).to.equal(undefined)
        for (const message of chunked.history) expect(sliding.history).to.include(message)
        if (request.exchange === undefined && !sliding.repaired.length)
          expect(exchanges(chunked)).to.be.at.least(Math.floor(exchanges(sliding) / 2))
        expect(chunked.trimmedBy).to.equal(sliding.trimmedBy)
      }),
      { numRuns: 1000 },
    )
  })

  it('trims nothing that fits', () => {
    const history = aHistory(session(10, 2))
    expect(cut({ history, question: [] }, 20, undefined, 'chunked').history).to.have.length(
      countMessages(history.turns),
    )
  })
})
