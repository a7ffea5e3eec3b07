import { expect } from 'chai'

import { bearer } from '../../lib/auth/bearer.js'
import { hs256, now, secret } from '../auth/tokens.js'
import { dataOf, type Reply } from './client.js'
import { exchange, expectError, type Stage } from './stage.js'

const routes: readonly (readonly [string, string, object?])[] = [
  ['GET', '/'],
  ['POST', '/', {}],
  ['GET', '/{id}'],
  ['HEAD', '/{id}'],
  ['PUT', '/{id}', { session_name: 'stolen' }],
  ['PATCH', '/{id}', { session_name: 'stolen' }],
  ['DELETE', '/{id}'],
  ['POST', '/{id}/clear'],
  ['GET', '/{id}/messages'],
  ['GET', '/{id}/messages?order=desc&limit=1'],
  ['DELETE', '/{id}/messages/msg_1_0'],
  ['POST', '/{id}/fork', { until: 'msg_1_0' }],
  ['GET', '/{id}/turns/1'],
  ['GET', '/{id}/turns/9'],
]

const token = (sub: string, lives = 600): string => `Bearer ${hs256({ sub, exp: now() + lives })}`

/** All that a client can see, but for the date. */
const seen = ({ status, headers, text }: Reply) => ({
  status,
  text,
  headers: [...headers].filter(([field]) => field !== 'date'),
})

/** Every route for everybody who must not pass: a stranger, nobody, a token that ran out, an owner after the deletion. */
export function ownership(stage: Stage): void {
  describe('ownership', () => {
    for (const [method, path, body] of routes) {
      const route = `${method} ${path}`
      const at = (id: string): string => path.replace('{id}', id)
      const sent = body === undefined ? {} : { body }

      if (path !== '/') {
        it(`${route} shows another user’s session as a missing one, byte for byte, and leaves it alone`, async () => {
          const id = await stage.createdWith(exchange(1))
          const untouched = await stage.call('GET', `/${id}`, stage.as())
          const stranger = { user: `${stage.user}-stranger`, ...sent }
          const foreign = await stage.call(method, at(id), stranger)
          const missing = await stage.call(method, at('sess_none'), stranger)
          expect(foreign.status).to.equal(404)
          if (method !== 'HEAD') expectError(foreign, 404, 'session_not_found', 'session_id')
          expect(seen(foreign)).to.deep.equal(seen(missing))
          expect((await stage.call('GET', `/${id}`, stage.as())).text).to.equal(untouched.text)
        })

        it(`${route} shows a deleted session as a missing one, byte for byte`, async () => {
          const id = await stage.createdWith(exchange(1))
          await stage.call('DELETE', `/${id}`, stage.as())
          const deleted = await stage.call(method, at(id), stage.as(sent))
          expect(deleted.status).to.equal(404)
          expect(seen(deleted)).to.deep.equal(seen(await stage.call(method, at('sess_none'), stage.as(sent))))
        })
      }

      it(`${route} lets nobody in without a valid token`, async () => {
        const id = await stage.createdWith(exchange(1))
        const untouched = await stage.call('GET', '/', stage.as())
        const { call } = await stage.another({ userId: bearer({ secret }) })
        const attempts: Record<string, string | undefined> = {
          none: undefined,
          expired: token(stage.user, -1),
          forged: `${token(stage.user).slice(0, -3)}abc`,
          basic: `Basic ${Buffer.from('ann:ann').toString('base64')}`,
        }
        for (const [kind, authorization] of Object.entries(attempts)) {
          const headers: Record<string, string> = authorization === undefined ? {} : { authorization }
          const reply = await call(method, at(id), { headers, ...sent })
          expect(reply.status, kind).to.equal(401)
          expect(reply.headers.get('www-authenticate'), kind).to.match(/^Bearer/)
          if (method !== 'HEAD') expectError(reply, 401, 'unauthorized', null)
        }
        expect((await stage.call('GET', '/', stage.as())).text).to.equal(untouched.text)
      })
    }

    it('shows a session that expired as a missing one', async () => {
      const id = await stage.created({ ttl_seconds: 1 })
      expect((await stage.call('GET', `/${id}`, stage.as())).status).to.equal(200)
      await new Promise((resolve) => void setTimeout(resolve, 1_200))
      for (const path of [`/${id}`, `/${id}/messages`, `/${id}/turns/1`]) {
        expectError(await stage.call('GET', path, stage.as()), 404, 'session_not_found', 'session_id')
      }
      expect(dataOf(await stage.call('GET', '/', stage.as()))).to.deep.equal([])
    })

    it('lets each owner in by token, and shows each their own', async () => {
      const { call } = await stage.another({ userId: bearer({ secret }) })
      const mine = { headers: { authorization: token(`${stage.user}-a`) } }
      const theirs = { headers: { authorization: token(`${stage.user}-b`) } }
      const { json } = await call('POST', '', { ...mine, body: {} })
      expect(dataOf(await call('GET', '', mine))).to.deep.equal([json])
      expect(dataOf(await call('GET', '', theirs))).to.deep.equal([])
    })
  })
}
