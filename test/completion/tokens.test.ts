import { expect } from 'chai'

import {
  modelLimitsFrom,
  type BeginRequest,
  type Message,
  type Turn,
  type TurnlogError,
  type TurnlogOptions,
} from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'

const user = (content: string): Message => ({ role: 'user', content })

/** Text of about this many tokens. */
const words = (tokens: number): string => 'word '.repeat(tokens - 1) + 'end'

describe('tokens of a turn', () => {
  let core: FreshCore
  const start = async (options: TurnlogOptions = {}): Promise<void> => {
    core = await freshCore({ maxHistoryMessages: 1000, ...options })
    await core.turnlog.ready({ models: ['gpt-4o'] })
  }
  afterEach(() => core.end())

  const newSession = async (model?: string): Promise<string> =>
    (await core.turnlog.sessions.create({ userId: 'ann', ...(model !== undefined && { model }) })).id
  const begin = (sessionId: string, question: BeginRequest['question'], model?: string): Promise<Turn> =>
    core.turnlog.begin({ userId: 'ann', sessionId, question, ...(model !== undefined && { model }) })
  const tell = async (sessionId: string, question: string, answer: string): Promise<Turn> => {
    const turn = await begin(sessionId, question, 'gpt-4o')
    expect(await turn.complete(answer)).to.equal('stored')
    return turn
  }
  const counts = async (sessionId: string): Promise<(number | undefined)[]> =>
    (await core.turnlog.messages.list({ userId: 'ann', sessionId }))!.data.map(({ tokens }) => tokens)
  const faultOf = (begun: Promise<Turn>): Promise<TurnlogError> =>
    begun.then(
      () => expect.fail('It began.'),
      (error: unknown) => error as TurnlogError,
    )

  it('are counted once for each message, and stored with it', async () => {
    await start()
    const session = await newSession()
    await tell(session, 'How warm is it?', 'Twelve degrees.')
    // Three for the message, one for its role, and its words.
    expect(await counts(session)).to.deep.equal([3 + 1 + 5, 3 + 1 + 4])
    const next = await begin(session, 'Hello', 'gpt-4o')
    expect(next.receipt.tokens).to.equal(9 + 8 + 5 + 3)
    await next.discard()
  })

  it('make no request wait for the encoding: what came before it is estimated', async () => {
    core = await freshCore()
    const session = await newSession()
    const first = await tell(session, 'How warm is it?', 'Twelve degrees.')
    expect(first.receipt.tokens).to.be.greaterThan(12)
    expect(await counts(session)).to.deep.equal([undefined, undefined])
    await core.turnlog.ready({ models: ['gpt-4o'] })
    await tell(session, 'Hello', 'Hello')
    expect(await counts(session)).to.deep.equal([undefined, undefined, 5, 5])
  })

  it('load their encoding behind the end of the first turn', async () => {
    core = await freshCore()
    const session = await newSession('gpt-4o')
    for (let turns = 1; ; turns++) {
      const turn = await begin(session, 'Hello')
      await turn.complete('Hello')
      if ((await counts(session)).at(-1) !== undefined) break
      expect(turns).to.be.lessThan(1000)
    }
  })

  it('keep out what the model cannot take, oldest first, and say so', async () => {
    await start({ modelLimits: { 'gpt-4o': { context: 1000, output: 200 } } })
    const session = await newSession()
    for (let at = 0; at < 4; at++) await tell(session, `${at} ${words(100)}`, words(100))
    const turn = await begin(session, 'And now?', 'gpt-4o')
    expect(turn.history.map(({ content }) => String(content)[0])).to.deep.equal([
      '1',
      'w',
      '2',
      'w',
      '3',
      'w',
    ])
    expect(turn.receipt).to.include({ injected: 6, dropped: 2, trimmedBy: 'tokens' })
    expect(turn.receipt.tokens).to.be.within(600, 750)
    await turn.discard()
  })

  it('leave room for the answer that the request reserves, and for its tools', async () => {
    await start({ modelLimits: () => ({ context: 1000 }) })
    const session = await newSession()
    for (let at = 0; at < 3; at++) await tell(session, words(100), words(100))
    const sent = async (more: object): Promise<number> => {
      const body = { model: 'gpt-4o', messages: [user('q')], ...more }
      const turn = await core.turnlog.begin({ userId: 'ann', sessionId: session, body })
      await turn.discard()
      return turn.receipt.injected
    }
    const tool = { type: 'function', function: { name: 'look', description: words(300) } }
    expect(await sent({ max_tokens: 100 })).to.equal(6)
    expect(await sent({ max_tokens: 500 })).to.equal(4)
    expect(await sent({ max_completion_tokens: 700 })).to.equal(2)
    expect(await sent({ max_tokens: 100, tools: [tool] })).to.equal(4)
  })

  it('refuse a question that is too long with the numbers, and its turn has failed', async () => {
    await start()
    const session = await newSession('gpt-4')
    await core.turnlog.ready({ models: ['gpt-4'] })
    const fault = await faultOf(begin(session, words(9000)))
    expect(fault).to.include({ status: 400, code: 'context_length_exceeded', param: 'messages' })
    expect(fault.message).to.contain('at most 6144 tokens beside the 2048').and.to.contain('need 9007')
    const turn = await core.turnlog.turns.find({ userId: 'ann', sessionId: session, turn: 1 })
    expect(turn!.status).to.equal('failed')
    const next = await begin(session, 'short')
    expect(next.history).to.deep.equal([])
    await next.discard()
  })

  it('do not limit a model that nobody knows, or that nobody named, and the receipt says so', async () => {
    await start()
    const session = await newSession()
    await tell(session, words(3000), 'ok')
    for (const model of ['my-own-model', undefined]) {
      const turn = await begin(session, words(3000), model)
      expect(turn.receipt).to.deep.equal({
        injected: 2,
        dropped: 0,
        source: 'memory',
        degraded: 'unknown_model',
      })
      await turn.discard()
    }
  })

  it('are limited by what a host says of a model, whichever way it says it', async () => {
    const json = { mine: { max_input_tokens: 300, max_output_tokens: 100, mode: 'chat' } }
    for (const modelLimits of [
      { mine: { context: 300 } },
      (model: string) => (model === 'mine' ? { context: 300 } : undefined),
      modelLimitsFrom(json),
    ]) {
      await start({ modelLimits })
      const session = await newSession('mine')
      const fault = await faultOf(begin(session, words(400)))
      expect(fault.code).to.equal('context_length_exceeded')
      await core.end()
    }
    await start()
  })

  it('limit nothing where the host’s own function fails, and the host is told', async () => {
    const faults: unknown[] = []
    const wrong = new Error('wrong')
    await start({
      onFault: (error) => faults.push(error),
      modelLimits: () => {
        throw wrong
      },
    })
    const turn = await begin(await newSession(), 'q', 'gpt-4o')
    expect(turn.receipt.degraded).to.equal('unknown_model')
    expect(faults).to.include(wrong)
    await turn.discard()
  })

  it('follow the provider’s own count where it is higher', async () => {
    await start({ modelLimits: { 'gpt-4o': { context: 2000, output: 100 } } })
    const session = await newSession()
    for (let at = 0; at < 4; at++) await tell(session, words(200), words(200))
    const before = await begin(session, 'q', 'gpt-4o')
    expect(before.receipt).to.include({ injected: 8, dropped: 0 })
    await before.complete('a', { usage: { prompt_tokens: Math.ceil(before.receipt.tokens! * 1.5) } })
    const after = await begin(session, 'q', 'gpt-4o')
    expect(after.receipt).to.include({ injected: 8, dropped: 2, trimmedBy: 'tokens' })
    expect(after.receipt.tokens).to.be.within(1600, 1900)
    await after.discard()
  })

  it('move the front edge rarely where that was asked', async () => {
    await start({ trim: 'chunked', maxHistoryMessages: 20 })
    const session = await newSession()
    const fronts = new Set<string>()
    for (let at = 0; at < 30; at++) {
      const turn = await tell(session, `question ${at}`, 'answer')
      if (at >= 10) fronts.add(String(turn.history[0]!.content))
    }
    expect(fronts.size).to.be.within(2, 7)
  })
})
