import { expect } from 'chai'

import { dataOf, errorOf } from './client.js'
import { exchange, exchanges, expectError, type Stage } from './stage.js'
import { wrongBodies } from './wrong.js'

/** Create, find, change, delete, clear. */
export function sessions(stage: Stage): void {
  describe('POST /', () => {
    it('creates a session with the defaults from an empty object, and from no body', async () => {
      for (const sent of [{ body: {} }, {}]) {
        const reply = await stage.call('POST', '', stage.as(sent))
        expect(reply.status, reply.text).to.equal(201)
        expect(reply.headers.get('content-type')).to.equal('application/json; charset=utf-8')
        expect(reply.headers.get('cache-control')).to.equal('no-store')
        const { session_id, created_at, updated_at, ...rest } = reply.json
        expect(session_id).to.match(/^sess_[A-Za-z0-9_-]{32}$/)
        expect(created_at).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
        expect(updated_at).to.equal(created_at)
        expect(rest).to.deep.equal({
          session_name: null,
          model: null,
          max_history_messages: 20,
          message_count: 0,
          metadata: {},
          ttl_seconds: null,
          last_message_at: null,
          expires_at: null,
        })
      }
    })

    it('creates a session with every field', async () => {
      const body = {
        session_id: 'my.own~id-1_',
        session_name: 'Trip to 東京 😀',
        model: 'gpt-4o',
        max_history_messages: 1000,
        metadata: { tags: ['a', null, 1.5], nested: { deep: true } },
        ttl_seconds: 3600,
      }
      const reply = await stage.call('POST', '', stage.as({ body }))
      expect(reply.status, reply.text).to.equal(201)
      expect(reply.json).to.deep.include(body)
      expect(reply.json.expires_at).to.match(/Z$/)
    })

    it('keeps metadata with names of the prototype', async () => {
      const raw = '{"metadata":{"__proto__":{"admin":true},"constructor":1,"toString":"x"}}'
      const { call } = await stage.another({ parser: 'none' })
      const { json } = await call('POST', '', stage.as({ raw }))
      const found = await stage.call('GET', `/${json.session_id as string}`, stage.as())
      expect(Object.keys(found.json.metadata as object).sort()).to.deep.equal([
        '__proto__',
        'constructor',
        'toString',
      ])
    })

    it('says that an id is taken, while another user may have the same', async () => {
      await stage.created({ session_id: 'mine' })
      const again = await stage.call('POST', '', stage.as({ body: { session_id: 'mine' } }))
      expectError(again, 409, 'session_exists', 'session_id')
      const other = await stage.call('POST', '', {
        user: `${stage.user}-other`,
        body: { session_id: 'mine' },
      })
      expect(other.status).to.equal(201)
    })

    it('does not bring back a deleted session by its id', async () => {
      await stage.created({ session_id: 'gone' })
      await stage.call('DELETE', '/gone', stage.as())
      const again = await stage.call('POST', '', stage.as({ body: { session_id: 'gone' } }))
      expectError(again, 409, 'session_exists')
      expectError(await stage.call('GET', '/gone', stage.as()), 404, 'session_not_found')
    })

    it('refuses an id that no path can carry, or that has a meaning of its own', async () => {
      for (const session_id of ['new', '.', '..', '', 'a b', 'ä', 7, null, 'x'.repeat(129)]) {
        const reply = await stage.call('POST', '', stage.as({ body: { session_id } }))
        expectError(reply, 400, 'invalid_request', 'session_id')
      }
    })

    it('takes metadata of 16 KiB, and no byte more', async () => {
      const ofBytes = (bytes: number) => ({ metadata: { a: 'x'.repeat(bytes - '{"a":""}'.length) } })
      expect((await stage.call('POST', '', stage.as({ body: ofBytes(16_384) }))).status).to.equal(201)
      const above = await stage.call('POST', '', stage.as({ body: ofBytes(16_385) }))
      expectError(above, 400, 'invalid_request', 'metadata')
    })
  })

  describe('GET /{id}', () => {
    it('shows the session with its count and its last message', async () => {
      const id = await stage.createdWith(exchanges(2))
      const reply = await stage.call('GET', `/${id}`, stage.as())
      expect(reply.status).to.equal(200)
      expect(reply.json.message_count).to.equal(4)
      expect(reply.json.last_message_at).to.match(/Z$/)
    })

    it('answers HEAD alike, without the body', async () => {
      const id = await stage.created()
      const head = await stage.call('HEAD', `/${id}`, stage.as())
      const get = await stage.call('GET', `/${id}`, stage.as())
      expect(head.status).to.equal(200)
      expect(head.text).to.equal('')
      for (const field of ['content-type', 'content-length', 'cache-control']) {
        expect(head.headers.get(field), field).to.equal(get.headers.get(field))
      }
      expect((await stage.call('HEAD', '/nobodys', stage.as())).status).to.equal(404)
    })
  })

  describe('PUT and PATCH /{id}', () => {
    for (const method of ['PUT', 'PATCH']) {
      it(`${method} changes the fields given, the others stay`, async () => {
        const id = await stage.created({
          session_name: 'a',
          model: 'm',
          metadata: { a: 1 },
          max_history_messages: 5,
        })
        const body = { session_name: 'b', max_history_messages: 6 }
        const reply = await stage.call(method, `/${id}`, stage.as({ body }))
        expect(reply.status, reply.text).to.equal(200)
        expect(reply.json).to.deep.include({ ...body, model: 'm', metadata: { a: 1 }, session_id: id })
        expect((await stage.call('GET', `/${id}`, stage.as())).json).to.deep.equal(reply.json)
      })
    }

    it('takes a name, a model and a time to live away with null', async () => {
      const id = await stage.created({ session_name: 'a', model: 'm', ttl_seconds: 60 })
      const body = { session_name: null, model: null, ttl_seconds: null }
      const reply = await stage.call('PUT', `/${id}`, stage.as({ body }))
      expect(reply.json).to.include({ ...body, expires_at: null })
    })

    it('changes nothing when nothing is given', async () => {
      const id = await stage.created({ session_name: 'a', metadata: { a: 1 } })
      const reply = await stage.call('PUT', `/${id}`, stage.as({ body: {} }))
      expect(reply.json).to.deep.include({ session_name: 'a', metadata: { a: 1 } })
    })

    it('needs a body', async () => {
      const reply = await stage.call('PUT', `/${await stage.created()}`, stage.as())
      expectError(reply, 400, 'invalid_request', null)
      expect(errorOf(reply).message).to.equal('The body must be a JSON object, got nothing.')
    })
  })

  for (const [raw, param, words] of wrongBodies) {
    it(`POST, PUT and PATCH refuse ${raw.slice(0, 50)}`, async () => {
      const id = await stage.created()
      const untouched = await stage.call('GET', '', stage.as())
      // Parsers of Koa refuse it themselves.
      const { call } = raw.includes('__proto__') ? await stage.another({ parser: 'none' }) : stage
      for (const [method, path] of [
        ['POST', ''],
        ['PUT', `/${id}`],
        ['PATCH', `/${id}`],
      ] as const) {
        const reply = await call(method, path, stage.as({ raw }))
        expectError(reply, 400, 'invalid_request', param)
        expect(errorOf(reply).message).to.include(words)
      }
      expect((await stage.call('GET', '', stage.as())).text).to.equal(untouched.text)
    })
  }

  describe('DELETE /{id}', () => {
    it('deletes once; then the session is nowhere', async () => {
      const id = await stage.createdWith(exchange(1))
      const reply = await stage.call('DELETE', `/${id}`, stage.as())
      expect(reply.status).to.equal(200)
      expect(reply.json).to.deep.equal({ session_id: id, deleted: true })
      expectError(await stage.call('DELETE', `/${id}`, stage.as()), 404, 'session_not_found', 'session_id')
      expect(dataOf(await stage.call('GET', '', stage.as()))).to.deep.equal([])
    })
  })

  describe('POST /{id}/clear', () => {
    it('takes everything said away and keeps the session', async () => {
      const id = await stage.createdWith(exchanges(2))
      const reply = await stage.call('POST', `/${id}/clear`, stage.as())
      expect(reply.status).to.equal(200)
      expect(reply.json).to.include({ session_id: id, message_count: 0 })
      expect(dataOf(await stage.call('GET', `/${id}/messages`, stage.as()))).to.deep.equal([])
      expectError(await stage.call('GET', `/${id}/turns/1`, stage.as()), 404, 'turn_not_found')
    })

    it('leaves room for what comes after', async () => {
      const id = await stage.createdWith(exchanges(2))
      await stage.call('POST', `/${id}/clear`, stage.as())
      await stage.append(id, exchange(3))
      const data = dataOf(await stage.call('GET', `/${id}/messages`, stage.as()))
      expect(data.map(({ turn, content }) => [turn, content])).to.deep.equal([
        [3, 'question 3'],
        [3, 'answer 3'],
      ])
    })
  })
}
