import { randomUUID } from 'node:crypto'

import { expect } from 'chai'

import type { Cache } from '../../lib/cache/cache.js'
import type { RedisClient } from '../../lib/cache/connection.js'
import { encodeEntry, sessionHash } from '../../lib/cache/entry.js'
import type { SessionKey } from '../../lib/model/session.js'
import { aHistory, aSession } from './samples.js'

interface PlantableCache {
  readonly cache: Cache
  readonly client: RedisClient & { rpush(key: string, value: string): Promise<unknown> }
  end(): Promise<void>
}

/** Puts into a cache what failovers, bugs and other programs might put there. */
export function neverBelievesWhatIsPlanted(kind: {
  readonly name: string
  start(keyPrefix: string): Promise<PlantableCache>
}): void {
  describe(`${kind.name}: planted entries`, () => {
    const prefix = `test:${randomUUID()}:`
    let subject: PlantableCache
    let cache: Cache

    before(async () => {
      subject = await kind.start(prefix)
      cache = subject.cache
    })

    after(() => subject.end())

    const keyOf = (session: SessionKey): string => prefix + sessionHash(session).toString('hex')
    const entryOf = (session: SessionKey): Buffer => encodeEntry(aHistory(), sessionHash(session))!
    const plant = async (session: SessionKey, entry: Buffer): Promise<void> =>
      void (await subject.client.set(keyOf(session), entry, 'PX', 60_000))

    it('finds a whole entry where it looks for it', async () => {
      const session = aSession()
      const history = aHistory()
      await plant(session, encodeEntry(history, sessionHash(session))!)
      expect((await cache.read(session))!.history).to.deep.equal(history)
    })

    it('names a stale entry by the revision that it had', async () => {
      const session = aSession()
      const stale = aHistory()
      cache.write(session, aHistory())
      await plant(session, encodeEntry(stale, sessionHash(session))!)
      expect((await cache.read(session))!.history).to.deep.equal(stale)
    })

    const damages: [string, (entry: Buffer) => Buffer][] = [
      ['truncated', (entry) => entry.subarray(0, entry.length - 7)],
      ['cut within its header', (entry) => entry.subarray(0, 20)],
      ['empty', () => Buffer.alloc(0)],
      ['longer than it says', (entry) => Buffer.concat([entry, Buffer.from('{}')])],
      ['corrupt', (entry) => flipped(entry, entry.length - 9)],
      ['of another version', (entry) => flipped(entry, 0)],
      ['of another program', () => Buffer.from(JSON.stringify(aHistory()))],
    ]
    for (const [damage, of] of damages)
      it(`takes an entry that is ${damage} for none`, async () => {
        const session = aSession()
        await plant(session, of(entryOf(session)))
        expect(await cache.read(session)).to.equal(undefined)
      })

    it("takes another session's entry for none", async () => {
      const session = aSession()
      await plant(session, entryOf({ ...session, userId: 'eve' }))
      expect(await cache.read(session)).to.equal(undefined)
    })

    it('takes a value of another type for none', async () => {
      const session = aSession()
      await subject.client.rpush(keyOf(session), 'an element')
      expect(await cache.read(session)).to.equal(undefined)
    })

    it('writes over what was damaged', async () => {
      const session = aSession()
      const history = aHistory()
      await plant(session, Buffer.from('damaged'))
      cache.write(session, history)
      expect((await cache.read(session))!.history).to.deep.equal(history)
    })
  })
}

function flipped(entry: Buffer, at: number): Buffer {
  const other = Buffer.from(entry)
  other[at]! ^= 0x10
  return other
}
