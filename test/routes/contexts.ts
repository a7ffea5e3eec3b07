import { expect } from 'chai'

import { errorOf } from './client.js'
import { exchange, expectError, type Stage } from './stage.js'

/** What a completion would send, looked at without sending it. */
export function contexts(stage: Stage): void {
  describe('a dry run', () => {
    const question = { model: 'gpt-4', temperature: 0, messages: [{ role: 'user', content: 'next' }] }

    it('shows the body that the provider would get, with the receipt', async () => {
      const id = await stage.createdWith(exchange(1))
      const body = { session_id: id, idempotency_key: 'k', ...question }
      const { status, json } = await stage.call('POST', `/${id}/context`, stage.as({ body }))
      expect(status).to.equal(200)
      expect(json).to.have.all.keys('object', 'body', 'receipt')
      expect(json.object).to.equal('context')
      expect(json.body).to.deep.equal({ ...question, messages: [...exchange(1), ...question.messages] })
      expect(json.receipt).to.include({ injected: 2, dropped: 0, source: 'postgres', reconciled: 0 })
      expect((json.receipt as { tokens: number }).tokens).to.be.greaterThan(10)
      const after = await stage.call('GET', `/${id}`, stage.as())
      expect(after.json.message_count).to.equal(2)
    })

    it('is refused as the completion would be', async () => {
      const id = await stage.created()
      const long = { ...question, messages: [{ role: 'user', content: 'word '.repeat(9000) }] }
      const reply = await stage.call('POST', `/${id}/context`, stage.as({ body: long }))
      expectError(reply, 400, 'context_length_exceeded', 'messages')
      expect(errorOf(reply).message).to.match(/at most \d+ tokens/)
      for (const body of [{}, [], { messages: [] }])
        expectError(await stage.call('POST', `/${id}/context`, stage.as({ body })), 400, 'invalid_request')
    })

    it('shows nobody another user’s session', async () => {
      const id = await stage.createdWith(exchange(1))
      const reply = await stage.call('POST', `/${id}/context`, { user: 'somebody else', body: question })
      expectError(reply, 404, 'session_not_found')
    })
  })
}
