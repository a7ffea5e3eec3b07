import { expect } from 'chai'

import { clientOf, type Client } from './client.js'
import { exchange, expectError, type Stage } from './stage.js'

/** How much of a user's there is: at a path of the host's, and where `chatHistory` has it. */
export function stats(stage: Stage): void {
  describe('stats', () => {
    let call: Client
    before(() => {
      call = clientOf(`${stage.url}/stats`)
    })
    const none = { object: 'stats', sessions: 0, messages: 0, tokens: 0, bytes: 0 }

    it('counts what is the user’s, and nobody else’s', async () => {
      const id = await stage.createdWith([
        { role: 'user', content: 'one' },
        { role: 'assistant', content: 'zwei' },
      ])
      await stage.created()
      const reply = await call('GET', '', stage.as())
      expect(reply.status, reply.text).to.equal(200)
      expect(reply.headers.get('cache-control')).to.equal('no-store')
      expect(reply.json).to.include({ object: 'stats', sessions: 2, messages: 2, bytes: 7 })
      expect((await call('GET', '', { user: `${stage.user}-stranger` })).json).to.deep.equal(none)
      await stage.call('DELETE', `/${id}`, stage.as())
      expect((await call('GET', '', stage.as())).json).to.deep.equal({ ...none, sessions: 1 })
    })

    it('is at /chat/stats by chatHistory, with one slash at its end or none', async () => {
      await stage.createdWith(exchange(1))
      const host = await stage.another({ nesting: 'chatHistory' })
      for (const path of ['/chat/stats', '/chat/stats/']) {
        const reply = await clientOf(host.url)('GET', path, stage.as())
        expect(reply.json).to.include({ object: 'stats', sessions: 1, messages: 2 })
      }
      expect((await clientOf(host.url)('GET', '/chat/stats/more', stage.as())).json).to.have.property('host')
    })

    it('refuses nobody, another method and any parameter', async () => {
      expectError(await call('GET', ''), 401, 'unauthorized')
      const posted = await call('POST', '', stage.as({ body: {} }))
      expectError(posted, 405, 'method_not_allowed')
      expect(posted.headers.get('allow')).to.equal('GET, HEAD')
      expectError(await call('GET', '?user=bob', stage.as()), 400, 'invalid_request', 'user')
    })
  })
}
