import { expect } from 'chai'

import type { Cache, CacheHit } from '../../lib/cache/cache.js'
import { aHistory, aSession, aTurn, awkward } from './samples.js'

/** A cache to hold to the contract, made with `maxEntryBytes: 64 KiB`, and how to end it and what stands behind it. */
export interface CacheUnderTest {
  readonly cache: Cache
  end(): Promise<void>
}

export interface CacheKind {
  readonly name: string
  readonly layer: CacheHit['layer']
  start(): Promise<CacheUnderTest>
}

/** What every cache promises. */
export function keepsTheContract(kind: CacheKind): void {
  const { name, layer } = kind

  describe(`${name}: the cache contract`, () => {
    let subject: CacheUnderTest
    let cache: Cache

    before(async () => {
      subject = await kind.start()
      cache = subject.cache
      await cache.ready()
    })

    after(() => subject.end())

    it('knows nothing of a session that was never written', async () => {
      expect(await cache.read(aSession())).to.equal(undefined)
    })

    it('gives back what was written, and says where it was', async () => {
      const session = aSession()
      const history = aHistory()
      cache.write(session, history)
      expect(await cache.read(session)).to.deep.equal({ history, layer })
    })

    it('keeps every character, number and field name', async () => {
      const session = aSession()
      const history = awkward()
      cache.write(session, history)
      expect((await cache.read(session))!.history).to.deep.equal(history)
    })

    it('keeps what was written last', async () => {
      const session = aSession()
      const last = aHistory({ turns: [aTurn(3)], from: 3 })
      cache.write(session, aHistory())
      cache.write(session, last)
      expect((await cache.read(session))!.history).to.deep.equal(last)
    })

    it('forgets what is dropped, once and again', async () => {
      const session = aSession()
      cache.write(session, aHistory())
      cache.drop(session)
      cache.drop(session)
      expect(await cache.read(session)).to.equal(undefined)
    })

    it('parts sessions whose ids run into each other', async () => {
      const keys = [aSession({ userId: 'a', sessionId: 'bc' }), aSession({ userId: 'ab', sessionId: 'c' })]
      const histories = keys.map(() => aHistory())
      for (const [index, key] of keys.entries()) cache.write(key, histories[index]!)
      const hits = await Promise.all(keys.map((key) => cache.read(key)))
      expect(hits.map((hit) => hit!.history.revision)).to.deep.equal(
        histories.map(({ revision }) => revision),
      )
    })

    it('parts users with the same session id', async () => {
      const session = aSession()
      cache.write(session, aHistory())
      expect(await cache.read({ ...session, userId: 'eve' })).to.equal(undefined)
    })

    it('drops the entry when the history is larger than the cap', async () => {
      const session = aSession()
      cache.write(session, aHistory())
      cache.write(session, aHistory({ turns: [aTurnOf('x'.repeat(64 * 1024))] }))
      expect(await cache.read(session)).to.equal(undefined)
    })

    it('answers many at once, each with its own', async () => {
      const keys = Array.from({ length: 200 }, () => aSession())
      const histories = keys.map(() => aHistory())
      for (const [index, key] of keys.entries()) cache.write(key, histories[index]!)
      const hits = await Promise.all(keys.map((key) => cache.read(key)))
      expect(hits.map((hit) => hit?.history.revision)).to.deep.equal(
        histories.map(({ revision }) => revision),
      )
    })
  })

  describe(`${name}: after close`, () => {
    it('knows nothing, and may still be called', async () => {
      const subject = await kind.start()
      const { cache } = subject
      await cache.ready()
      const session = aSession()
      cache.write(session, aHistory())
      await cache.close()
      expect(await cache.read(session)).to.equal(undefined)
      cache.write(session, aHistory())
      cache.drop(session)
      await cache.close()
      await subject.end()
    })
  })
}

const aTurnOf = (content: string) => aTurn(1, { messages: [{ message: { role: 'user', content } }] })
