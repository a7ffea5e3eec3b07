import { expect } from 'chai'

import type { Message, Turn } from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'

const called = (id: string): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name: 'look', arguments: '{}' } }],
})
const result = (id: string): Message => ({ role: 'tool', tool_call_id: id, content: `result of ${id}` })

describe('windows from the cache', () => {
  let core: FreshCore
  before(async () => {
    core = await freshCore({ redis: process.env.TEST_REDIS_URL!, maxHistoryMessages: 5 })
  })
  after(() => core?.end())

  const aSession = async () => {
    const { id } = await core.turnlog.sessions.create({ userId: 'ada' })
    return (question: string | Message, maxHistoryMessages?: number): Promise<Turn> =>
      core.turnlog.begin({
        userId: 'ada',
        sessionId: id,
        question,
        ...(maxHistoryMessages !== undefined && { maxHistoryMessages }),
      })
  }

  it('are found by every turn after the first, though whole exchanges hold less than the limit', async () => {
    const begin = await aSession()
    const sources: string[] = []
    for (const round of ['a', 'b', 'c', 'd']) {
      const asked = await begin(`question ${round}`)
      await asked.complete(called(round))
      const stepped = await begin(result(round))
      await stepped.complete('done')
      sources.push(asked.receipt.source, stepped.receipt.source)
      expect(asked.history.length, round).to.equal(round === 'a' ? 0 : 4)
    }
    expect(sources).to.deep.equal(['postgres', ...Array.from({ length: 7 }, () => 'memory')])
  })

  it('are found after turns that were answered in another order than they were asked', async () => {
    const begin = await aSession()
    await (await begin('first')).complete('1')
    const [second, third] = [await begin('second'), await begin('third')]
    await third.complete('3')
    await second.complete('2')
    const next = await begin('fourth')
    expect(next.receipt.source).to.equal('memory')
    expect(next.history.map(({ content }) => content)).to.deep.equal(['second', '2', 'third', '3'])
  })

  it('leave enough for the next turn when one asks for less', async () => {
    const begin = await aSession()
    for (const word of ['a', 'b', 'c']) await (await begin(word)).complete(word.toUpperCase())
    await (await begin('d', 2)).complete('D')
    const next = await begin('e')
    expect([next.receipt.source, next.history.length]).to.deep.equal(['memory', 4])
  })

  it('are read from Postgres when a turn asks for more than the entry reaches', async () => {
    const begin = await aSession()
    for (const word of ['a', 'b', 'c', 'd']) await (await begin(word)).complete(word.toUpperCase())
    const next = await begin('e', 6)
    expect([next.receipt.source, next.history.length]).to.deep.equal(['postgres', 6])
  })

  it('are not made from what a replaced answer left', async () => {
    const begin = await aSession()
    await (await begin('a')).complete('A')
    const failed = await core.turnlog.begin({
      userId: 'ada',
      sessionId: (await begin('b')).sessionId,
      question: 'c',
      key: 'k',
    })
    await failed.interrupt('half')
    const again = await core.turnlog.begin({
      userId: 'ada',
      sessionId: failed.sessionId,
      question: 'c',
      key: 'k',
    })
    await again.complete('whole')
    const next = await begin('d')
    expect(next.history.map(({ content }) => content)).to.deep.equal(['a', 'A', 'c', 'whole'])
  })
})
