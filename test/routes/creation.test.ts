import { expect } from 'chai'

import type { Turnlog } from '../../lib/index.js'
import { Misconfigured } from '../../lib/model/errors.js'
import * as overExpress from '../../middleware/express.js'
import * as overKoa from '../../middleware/koa.js'
import type { RouteOptions } from '../../middleware/route-options.js'

const turnlog = { sessions: {}, messages: {}, turns: {} } as unknown as Turnlog
const userId = (): string => 'ann'

for (const [name, { sessionRoutes }] of Object.entries({ Express: overExpress, Koa: overKoa })) {
  describe(`sessionRoutes, created for ${name}`, () =>
    refusals(sessionRoutes as typeof overExpress.sessionRoutes))
}

describe('sessionRoutes, created for Koa', () => {
  it('refuses a prefix that is no path', () => {
    const prefix = 'chat/sessions'
    expect(() => overKoa.sessionRoutes(turnlog, { userId, prefix })).to.throw(Misconfigured, 'begins with /')
  })
})

function refusals(sessionRoutes: typeof overExpress.sessionRoutes): void {
  const wrong: [string, unknown, string][] = [
    ['no options', undefined, 'userId is required'],
    ['no userId', {}, 'userId is required'],
    ['a userId that is not set', { userId: undefined }, 'userId is required'],
    ['a userId that is text', { userId: 'ann' }, 'userId must be a function, got "ann"'],
    ['a slip', { userId, onErorr: 'next' }, 'Did you mean onError?'],
    ['snake case', { user_id: userId }, 'Did you mean userId?'],
    ['an option of remember', { userId, autoCreate: true }, 'autoCreate is not a known'],
    ['an unknown way with errors', { userId, onError: 'throw' }, 'onError must be "respond" or "next"'],
    ['a cap as text', { userId, maxBodyBytes: '1mb' }, 'maxBodyBytes must be an integer from 1'],
    ['no cap', { userId, maxBodyBytes: Infinity }, 'maxBodyBytes must be an integer'],
  ]
  for (const [name, options, words] of wrong) {
    it(`refuses ${name}`, () => {
      expect(() => sessionRoutes(turnlog, options as RouteOptions<unknown>)).to.throw(Misconfigured, words)
    })
  }

  for (const first of [undefined, null, {}, { sessions: {} }, () => undefined]) {
    it(`refuses ${JSON.stringify(first) ?? typeof first} in place of a Turnlog`, () => {
      expect(() => sessionRoutes(first as unknown as Turnlog, { userId })).to.throw(
        Misconfigured,
        'createTurnlog()',
      )
    })
  }
}
