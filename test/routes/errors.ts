import { expect } from 'chai'

import { HistoryUnavailable } from '../../lib/model/errors.js'
import type { AppOptions } from './framework.js'
import { expectError, type Stage } from './stage.js'

const rejecting = (error: Error) => async (): Promise<never> => {
  throw error
}

/** Who the user is, and who answers what went wrong. */
export function errors(stage: Stage): void {
  describe('users', () => {
    for (const nobody of [undefined, null, '', 0, false, NaN] as const) {
      it(`takes ${String(nobody) || '""'} for nobody`, async () => {
        const { call } = await stage.another({ userId: () => nobody })
        const reply = await call('GET', '')
        expectError(reply, 401, 'unauthorized')
        expect(reply.headers.get('www-authenticate')).to.equal('Bearer')
      })
    }

    it('waits for a user that is a promise, and takes a number for its text', async () => {
      const { call } = await stage.another({ userId: () => Promise.resolve(7) })
      const { json } = await call('POST', '', { body: {} })
      const found = await stage.turnlog.sessions.find({ userId: '7', id: json.session_id as string })
      expect(found?.id).to.equal(json.session_id)
    })

    it('refuses a user id that cannot be stored', async () => {
      const { call } = await stage.another({ userId: () => 'ann\0' })
      expectError(await call('GET', ''), 400, 'invalid_request', 'userId')
    })

    it('tells the host that a user is no id', async () => {
      const app = await stage.another({ userId: () => ({ id: 7 }) as unknown as string })
      expect((await app.call('GET', '')).json).to.deep.equal({ host: 'misconfigured' })
      expect(String(app.errors[0])).to.include("user in place of the user's id")
    })

    it('hands the host what its own function throws', async () => {
      const fault = new Error('the directory is down')
      for (const userId of [
        () => Promise.reject(fault),
        () => {
          throw fault
        },
      ]) {
        const app = await stage.another({ userId })
        expect((await app.call('GET', '')).status).to.equal(500)
        expect(app.errors).to.deep.equal([fault])
      }
    })

    it('asks for no user where the path is not ours', async () => {
      let asked = 0
      const { call } = await stage.another({ userId: () => void asked++ })
      await call('GET', '/a/export')
      expect(asked).to.equal(0)
    })
  })

  describe('errors', () => {
    const broken = (error: Error): AppOptions['turnlog'] => ({
      sessions: { ...stage.turnlog.sessions, list: rejecting(error) },
      messages: stage.turnlog.messages,
      turns: stage.turnlog.turns,
      context: (request) => stage.turnlog.context(request),
    })

    it('says when to come back while the store is away, and not why', async () => {
      const { call } = await stage.another({
        turnlog: broken(new HistoryUnavailable(new Error('db-7.local'))),
      })
      const reply = await call('GET', '', stage.as())
      expectError(reply, 503, 'history_unavailable', null)
      expect(reply.headers.get('retry-after')).to.equal('1')
      expect(reply.text).to.not.include('db-7')
    })

    it('leaves faults that it does not know to the host', async () => {
      const fault = new Error('boom')
      const app = await stage.another({ turnlog: broken(fault) })
      const reply = await app.call('GET', '', stage.as())
      expect(reply.status).to.equal(500)
      expect(reply.json).to.deep.equal({ host: 'unknown' })
      expect(app.errors).to.deep.equal([fault])
    })

    it('leaves every error to the host that asks for it, with status, code and expose', async () => {
      const app = await stage.another({ onError: 'next' })
      const expected: [string, string, number, string][] = [
        ['GET', '/none', 404, 'session_not_found'],
        ['PUT', '', 405, 'method_not_allowed'],
        ['GET', '?limit=0', 400, 'invalid_request'],
        ['GET', '/%', 400, 'invalid_request'],
      ]
      for (const [method, path, status, code] of expected) {
        const reply = await app.call(method, path, stage.as())
        expect(reply.status, path).to.equal(status)
        expect(reply.json).to.deep.equal({ host: code })
        expect(app.errors.pop()).to.include({ status, code, expose: true })
      }
      expect((await app.call('GET', '')).json).to.deep.equal({ host: 'unauthorized' })
    })
  })
}
