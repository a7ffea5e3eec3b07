import { expect } from 'chai'

import { clientOf, dataOf, errorOf } from './client.js'
import type { AppOptions } from './framework.js'
import { exchange, expectError, type Stage } from './stage.js'

/** What is ours, what is the host's, and where the routes can stand. */
export function paths(stage: Stage): void {
  describe('paths', () => {
    it('tolerates a slash at the end', async () => {
      const id = await stage.createdWith(exchange(1))
      for (const path of ['/', `/${id}/`, `/${id}/messages/`, `/${id}/turns/1/`]) {
        expect((await stage.call('GET', path, stage.as())).status, path).to.equal(200)
      }
      expect((await stage.call('POST', '/', stage.as({ body: {} }))).status).to.equal(201)
      expect((await stage.call('POST', `/${id}/clear/`, stage.as())).status).to.equal(200)
    })

    it('takes an id that is percent-encoded', async () => {
      await stage.created({ session_id: 'a~b.c' })
      expect((await stage.call('GET', '/a%7Eb%2Ec', stage.as())).json.session_id).to.equal('a~b.c')
    })

    it('leaves paths that are not ours to the host, with no user and with the body unread', async () => {
      const { call } = await stage.another({ parser: 'none' })
      for (const path of ['/a/export', '/a/b/c', '/a//messages', '/a/Messages']) {
        const reply = await call('POST', path, { body: { a: 1 } })
        expect(reply.status, path).to.equal(404)
        expect(reply.json, path).to.have.property('host')
      }
    })

    it('leaves OPTIONS to the host, whose CORS answers it', async () => {
      const reply = await stage.call('OPTIONS', '/a')
      expect(reply.json).to.have.property('host')
    })

    for (const path of ['/a/messages/1/2', '/a/turns', '/a/turns/1/more', '/a/clear/now']) {
      it(`knows no ${path}`, async () => {
        const reply = await stage.call('GET', path, stage.as())
        expectError(reply, 404, 'not_found')
        expect(errorOf(reply).message).to.include('/turns/{turn}')
      })
    }

    const allowed: Record<string, string> = {
      '/': 'GET, HEAD, POST',
      '/a': 'GET, HEAD, PUT, PATCH, DELETE',
      '/a/clear': 'POST',
      '/a/messages': 'GET, HEAD',
      '/a/turns/1': 'GET, HEAD',
      '/a/context': 'POST',
    }
    for (const [path, allow] of Object.entries(allowed)) {
      it(`names the methods of ${path}`, async () => {
        const others = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND'].filter(
          (method) => !allow.split(', ').includes(method),
        )
        for (const method of others) {
          const reply = await stage.call(method, path, stage.as())
          expect(reply.status, method).to.equal(405)
          expect(reply.headers.get('allow')).to.equal(allow)
          if (method !== 'HEAD') expectError(reply, 405, 'method_not_allowed', null)
        }
      })
    }

    for (const path of ['/%', '/%zz', '/%ff', '/a%/messages', '/%c3%28/turns/1', '/a/turns/%']) {
      it(`refuses ${path}, which is badly encoded`, async () => {
        const reply = await stage.call('GET', path, stage.as())
        expectError(reply, 400, 'invalid_request')
        expect(errorOf(reply).message).to.include('two hexadecimal digits')
      })
    }

    for (const path of ['/a%20b', '/a%2Fb', '/%00', `/${'x'.repeat(129)}`, '/%F0%9F%98%80', '/a%0A']) {
      it(`refuses ${path.slice(0, 20)}, which is no session id`, async () => {
        expectError(await stage.call('GET', path, stage.as()), 400, 'invalid_request', 'session_id')
      })
    }

    it('finds no session under names of the prototype', async () => {
      for (const id of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
        expectError(await stage.call('GET', `/${id}`, stage.as()), 404, 'session_not_found')
        expectError(await stage.call('GET', `/${id}/messages`, stage.as()), 404, 'session_not_found')
      }
    })
  })

  describe('mounting', () => {
    const places: [string, Partial<AppOptions>, string][] = [
      ['at the root', { mount: '/' }, ''],
      ['on a router in a router', { nesting: 'router' }, '/acme/chat/sessions'],
      ['on an application in an application', { nesting: 'app' }, '/tenant/chat/sessions'],
      ['by chatHistory', { nesting: 'chatHistory' }, '/chat/sessions'],
      ['by chatHistory elsewhere', { nesting: 'chatHistory', mount: '/talks' }, '/talks'],
      ['without a parser, deep', { nesting: 'router', parser: 'none' }, '/acme/chat/sessions'],
    ]
    for (const [place, options, prefix] of places) {
      it(`works ${place}`, async () => {
        const app = await stage.another(options)
        const call = clientOf(`${app.url}${prefix}`)
        const { status, json } = await call('POST', '/', stage.as({ body: { session_name: 'here' } }))
        expect(status).to.equal(201)
        const id = json.session_id as string
        expect((await call('GET', `/${id}?x=1`, stage.as())).json).to.deep.equal(json)
        expect(dataOf(await call('GET', '/?limit=1', stage.as()))).to.deep.equal([json])
        expect((await call('GET', `/${id}/messages?limit=1`, stage.as())).status).to.equal(200)
      })
    }
  })
}
