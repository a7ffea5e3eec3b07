import { expect } from 'chai'

import { dataOf } from './client.js'
import { exchange, exchanges, expectError, type Stage } from './stage.js'

/** Routes that change what was said: one message's exchange, a copy, a session that comes back. */
export function changes(stage: Stage): void {
  const contents = async (id: string, query = ''): Promise<unknown[]> =>
    dataOf(await stage.call('GET', `/${id}/messages${query}`, stage.as())).map(({ content }) => content)

  describe('DELETE /{id}/messages/{message}', () => {
    it('takes the message away with its exchange', async () => {
      const id = await stage.createdWith(exchanges(3))
      const reply = await stage.call('DELETE', `/${id}/messages/msg_2_1`, stage.as())
      expect([reply.status, reply.json]).to.deep.equal([200, { id: 'msg_2_1', deleted: true }])
      expect(await contents(id)).to.deep.equal(['question 1', 'answer 1', 'question 3', 'answer 3'])
      const { json } = await stage.call('GET', `/${id}`, stage.as())
      expect(json.message_count).to.equal(4)
    })

    it('is not in the next prompt, and a late answer to it is refused', async () => {
      const id = await stage.createdWith(exchanges(2))
      const late = await stage.turnlog.begin({ userId: stage.user, sessionId: id, question: 'late' })
      await stage.call('DELETE', `/${id}/messages/msg_1_0`, stage.as())
      await stage.call('DELETE', `/${id}/messages/msg_3_0`, stage.as())
      expect(await late.complete('too late')).to.equal('refused')
      const next = await stage.turnlog.begin({ userId: stage.user, sessionId: id, question: 'next' })
      expect(next.messages.map(({ content }) => content)).to.deep.equal(['question 2', 'answer 2', 'next'])
    })

    for (const message of ['msg_9_0', 'msg_1_9', 'msg_0_0', 'msg_01_0', 'msg_99999999999_0', 'x', '%00']) {
      it(`finds no message ${message}`, async () => {
        const id = await stage.createdWith(exchange(1))
        const reply = await stage.call('DELETE', `/${id}/messages/${message}`, stage.as())
        expectError(reply, 404, 'message_not_found', 'message')
        expect(await contents(id)).to.have.length(2)
      })
    }
  })

  describe('GET /{id}/messages?include=superseded', () => {
    it('lists what was asked for again too', async () => {
      const id = await stage.created()
      const begin = (question: string) =>
        stage.turnlog.begin({ userId: stage.user, sessionId: id, question, key: 'k' })
      await (await begin('q')).interrupt('half')
      await (await begin('q')).complete('whole')
      expect(await contents(id)).to.deep.equal(['q', 'whole'])
      expect(await contents(id, '?include=superseded')).to.deep.equal(['q', 'half', 'q', 'whole'])
      expectError(
        await stage.call('GET', `/${id}/messages?include=all`, stage.as()),
        400,
        'invalid_request',
        'include',
      )
    })
  })

  describe('POST /{id}/fork', () => {
    it('copies up to a message into a new session', async () => {
      const id = await stage.createdWith(exchanges(3))
      const reply = await stage.call(
        'POST',
        `/${id}/fork`,
        stage.as({ body: { until: 'msg_2_0', session_name: 'other way' } }),
      )
      expect(reply.status).to.equal(201)
      expect(reply.json).to.include({ session_name: 'other way', message_count: 4 })
      const copy = reply.json.session_id as string
      expect(copy)
        .to.match(/^sess_/)
        .and.not.equal(id)
      expect(await contents(copy)).to.deep.equal(['question 1', 'answer 1', 'question 2', 'answer 2'])
      expect(await contents(id)).to.have.length(6)
    })

    it('copies everything without a body', async () => {
      const id = await stage.createdWith(exchanges(2))
      const reply = await stage.call('POST', `/${id}/fork`, stage.as())
      expect([reply.status, reply.json.message_count]).to.deep.equal([201, 4])
    })

    it('says what is wrong', async () => {
      const id = await stage.createdWith(exchange(1))
      const forked = (body: object) => stage.call('POST', `/${id}/fork`, stage.as({ body }))
      for (const until of ['msg_9_0', 'x']) {
        expectError(await forked({ until }), 404, 'message_not_found', 'until')
      }
      expectError(await forked({ until: 7 }), 400, 'invalid_request', 'until')
      expectError(await forked({ untill: 'msg_1_0' }), 400, 'invalid_request', 'untill')
      expectError(await forked({ session_name: '' }), 400, 'invalid_request', 'session_name')
    })
  })

  describe('POST /{id}/restore', () => {
    it('brings a deleted session back, and leaves one that is there', async () => {
      const id = await stage.createdWith(exchange(1))
      await stage.call('DELETE', `/${id}`, stage.as())
      for (let times = 0; times < 2; times++) {
        const reply = await stage.call('POST', `/${id}/restore`, stage.as())
        expect([reply.status, reply.json.message_count]).to.deep.equal([200, 2])
      }
      expect(await contents(id)).to.deep.equal(['question 1', 'answer 1'])
    })

    it('finds no session that never was, nor another user’s', async () => {
      const id = await stage.created()
      await stage.call('DELETE', `/${id}`, stage.as())
      const stranger = await stage.call('POST', `/${id}/restore`, { user: `${stage.user}-stranger` })
      expectError(stranger, 404, 'session_not_found', 'session_id')
      expectError(
        await stage.call('POST', '/sess_none/restore', stage.as()),
        404,
        'session_not_found',
        'session_id',
      )
      expect((await stage.call('GET', `/${id}`, stage.as())).status).to.equal(404)
    })
  })
}
