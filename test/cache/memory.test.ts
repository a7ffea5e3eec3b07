import { expect } from 'chai'

import type { History } from '../../lib/model/history.js'
import { LayeredCache } from '../../lib/cache/layers.js'
import { MemoryCache } from '../../lib/cache/memory.js'
import { keepsTheContract } from './contract.js'
import { aHistory, aSession, aTurn } from './samples.js'

keepsTheContract({
  name: 'memory',
  layer: 'memory',
  start: async () => ({ cache: new MemoryCache({ maxEntryBytes: 64 * 1024 }), end: async () => {} }),
})

describe('memory cache', () => {
  it('lets the entry go that was longest unused when all together are over the cap', async () => {
    const cache = new MemoryCache({ maxBytes: 10_000 })
    const [oldest, used, newest] = [aSession(), aSession(), aSession()]
    const history = aHistory({
      turns: [aTurn(1, { messages: [{ message: { role: 'user', content: 'x'.repeat(1500) } }] })],
    })
    cache.write(oldest, history)
    cache.write(used, history)
    await cache.read(oldest)
    cache.write(newest, history)
    expect(await cache.read(used)).to.equal(undefined)
    expect(await cache.read(oldest)).to.not.equal(undefined)
    expect(await cache.read(newest)).to.not.equal(undefined)
  })

  it('counts at least the bytes that the text takes', async () => {
    const cache = new MemoryCache({ maxEntryBytes: 4096 })
    const session = aSession()
    const turn = aTurn(1, { messages: [{ message: { role: 'user', content: '漢'.repeat(2000) } }] })
    cache.write(session, aHistory({ turns: [turn] }))
    expect(await cache.read(session)).to.equal(undefined)
  })

  it('forgets an entry after its time', async () => {
    const cache = new MemoryCache({ windowTtlSeconds: 0.02 })
    const session = aSession()
    cache.write(session, aHistory())
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(await cache.read(session)).to.equal(undefined)
  })
})

describe('layers', () => {
  const twoOf = () => {
    const [near, far] = [new MemoryCache(), new MemoryCache()]
    return { near, far, both: new LayeredCache([near, far]) }
  }

  it('answer from the nearest that knows', async () => {
    const { near, far, both } = twoOf()
    const session = aSession()
    const nearest = aHistory()
    near.write(session, nearest)
    far.write(session, aHistory())
    expect((await both.read(session))!.history).to.deep.equal(nearest)
  })

  const apart = (): [ReturnType<typeof twoOf>, ReturnType<typeof aSession>, History, History] => {
    const layers = twoOf()
    const session = aSession()
    const [nearest, farthest] = [aHistory(), aHistory()]
    layers.near.write(session, nearest)
    layers.far.write(session, farthest)
    return [layers, session, nearest, farthest]
  }

  it('ask the farthest first once the nearest was behind', async () => {
    const [{ both }, session, nearest, farthest] = apart()
    expect((await both.read(session))!.history).to.deep.equal(nearest)
    both.stale(session)
    expect((await both.read(session))!.history).to.deep.equal(farthest)
  })

  it('ask the farthest first for what another process wrote', async () => {
    const [{ near, both }, session, nearest, farthest] = apart()
    near.drop(session)
    expect((await both.read(session))!.history).to.deep.equal(farthest)
    near.write(session, nearest)
    expect((await both.read(session))!.history).to.deep.equal(farthest)
  })

  it('fall back on the nearest when the farthest has lost it', async () => {
    const [{ far, both }, session, nearest] = apart()
    both.stale(session)
    far.drop(session)
    expect((await both.read(session))!.history).to.deep.equal(nearest)
  })

  it('write and drop in all', async () => {
    const { near, far, both } = twoOf()
    const session = aSession()
    both.write(session, aHistory())
    expect(await near.read(session)).to.not.equal(undefined)
    expect(await far.read(session)).to.not.equal(undefined)
    both.drop(session)
    expect(await near.read(session)).to.equal(undefined)
    expect(await far.read(session)).to.equal(undefined)
  })

  it('know nothing when there are none', async () => {
    const none = new LayeredCache([])
    await none.ready()
    const session = aSession()
    none.write(session, aHistory())
    none.drop(session)
    expect(await none.read(session)).to.equal(undefined)
    await none.close()
  })
})
