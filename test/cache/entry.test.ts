import { expect } from 'chai'

import { decodeEntry, encodeEntry, sessionHash } from '../../lib/cache/entry.js'
import type { History } from '../../lib/model/history.js'
import { aHistory, aSession, aTurn, awkward } from './samples.js'

const hash = sessionHash(aSession())
const encoded = (history: History): Buffer => encodeEntry(history, hash)!

describe('cache entry', () => {
  it('gives back the history that was put in', () => {
    const history = aHistory()
    expect(decodeEntry(encoded(history), hash)).to.deep.equal(history)
  })

  it('keeps every character, number and field name', () => {
    const history = awkward()
    expect(decodeEntry(encoded(history), hash)).to.deep.equal(history)
  })

  it('is nothing when any one bit differs', () => {
    const entry = encoded(aHistory({ turns: [aTurn(1)] }))
    for (let bit = 0; bit < entry.length * 8; bit++) {
      const damaged = Buffer.from(entry)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      expect(decodeEntry(damaged, hash), `bit ${bit}`).to.equal(undefined)
    }
  })

  it('is nothing when cut at any byte', () => {
    const entry = encoded(aHistory())
    for (let end = 0; end < entry.length; end++)
      expect(decodeEntry(entry.subarray(0, end), hash), `first ${end}`).to.equal(undefined)
  })

  it('is nothing with a byte too many', () => {
    expect(decodeEntry(Buffer.concat([encoded(aHistory()), Buffer.from(' ')]), hash)).to.equal(undefined)
  })

  it("is nothing under another session's name", () => {
    expect(decodeEntry(encoded(aHistory()), sessionHash(aSession()))).to.equal(undefined)
  })

  it('is nothing when it is whole and no history', () => {
    for (const wrong of [7, [], {}, { revision: 'r', system: [], turns: [] }]) {
      const entry = encoded(wrong as unknown as History)
      expect(entry && decodeEntry(entry, hash), JSON.stringify(wrong)).to.equal(undefined)
    }
  })

  it('is not made of what cannot be JSON', () => {
    const deep = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown
    for (const content of [1n, deep]) {
      const turns = [aTurn(1, { messages: [{ message: { role: 'user', content } }] })]
      expect(encodeEntry(aHistory({ turns }), hash)).to.equal(undefined)
    }
  })
})

describe('session hash', () => {
  it('differs wherever user or session differ', () => {
    const keys = [
      { userId: 'a', sessionId: 'bc' },
      { userId: 'ab', sessionId: 'c' },
      { userId: '1:a', sessionId: 'bc' },
      { userId: 'a', sessionId: '1:bc' },
      { userId: 'a\ud800', sessionId: 'bc' },
      { userId: 'a\ud801', sessionId: 'bc' },
      { userId: 'a\ufffd', sessionId: 'bc' },
      { userId: 'á', sessionId: 'bc' },
      { userId: 'a\u0301', sessionId: 'bc' },
    ]
    expect(new Set(keys.map((key) => sessionHash(key).toString('hex'))).size).to.equal(keys.length)
  })

  it('is the same for the same session', () => {
    const key = aSession()
    expect(sessionHash({ ...key }).equals(sessionHash(key))).to.equal(true)
  })
})
