import { expect } from 'chai'

import type { JsonObject } from '../../lib/model/json.js'
import { join, type JoinRule } from '../../lib/wire/join.js'

describe('joining deltas', () => {
  it('takes fields with names of the prototype for what they are', () => {
    const delta = JSON.parse('{"__proto__":{"polluted":1},"constructor":"a"}') as JsonObject
    const rule = Object.fromEntries([['constructor', 'append']]) as JoinRule
    const joined = join(join({}, delta, {}), { constructor: 'b' }, rule)
    expect(Object.keys(joined)).to.deep.equal(['__proto__', 'constructor'])
    expect(joined['constructor']).to.equal('ab')
    expect(Object.getPrototypeOf(joined)).to.equal(Object.prototype)
    expect(({} as JsonObject)['polluted']).to.equal(undefined)
  })
})
