import { expect } from 'chai'
import { assert, jsonValue, property } from 'fast-check'

import { copyJson } from '../../lib/model/copy.js'

const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe('copyJson', () => {
  it('copies whatever JSON can hold', () => {
    assert(
      property(jsonValue({ stringUnit: 'binary' }), (value) => {
        expect(copyJson(value)).to.deep.equal(throughJson(value))
      }),
    )
  })

  it('keeps fields named like those of every object', () => {
    const value = JSON.parse('{"__proto__":{"polluted":1},"constructor":{},"hasOwnProperty":1}') as object
    const copy = copyJson(value)
    expect(JSON.stringify(copy)).to.equal(JSON.stringify(value))
    expect(Object.getPrototypeOf(copy)).to.equal(Object.prototype)
  })

  it('leaves out and replaces what JSON does', () => {
    const value = {
      absent: undefined,
      call: () => 1,
      none: NaN,
      zero: -0,
      list: [undefined, () => 1, Infinity],
      date: new Date(0),
      bytes: Buffer.from('a'),
      own: { toJSON: () => 'said' },
      text: new String('boxed'),
    }
    expect(copyJson(value)).to.deep.equal(throughJson(value))
  })

  it('shares no object with the original', () => {
    const value = { a: [{ b: {} }] }
    const copy = copyJson(value)
    value.a[0]!.b = 'changed'
    value.a.push({ b: {} })
    expect(copy).to.deep.equal({ a: [{ b: {} }] })
  })
})
