import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import path from 'node:path'

import { expect } from 'chai'
import express from 'express'
import express4 from 'express4'

import { Misconfigured } from '../../lib/index.js'
import { remember } from '../../middleware/express.js'
import type { RememberOptions } from '../../middleware/options.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { listen, type RunningHost } from './framework.js'

const file = path.resolve(import.meta.dirname, '../fixtures/streams/openai-plain.sse')

describe('remember, created', () => {
  for (const sessionId of ['header', {}, { header: '' }, { header: 'a', cookie: 'b' }, { query: 'a' }, 7]) {
    it(`refuses ${JSON.stringify(sessionId)} for the place of a session's id`, () => {
      const options = { userId: () => 'ann', sessionId } as unknown as RememberOptions<express.Request>
      const begin = (): never => {
        throw new Error('never')
      }
      expect(() => remember({ begin }, options)).to.throw(Misconfigured, '{ header }, { param }, { cookie }')
    })
  }
})

for (const [name, create] of Object.entries({
  'Express 5': express,
  'Express 4': express4 as unknown as typeof express,
})) {
  describe(`${name}: answers of no handler's own`, () => {
    let core: FreshCore
    let host: RunningHost
    before(async () => {
      core = await freshCore()
      const app = create()
      app.use(express.json() as express.RequestHandler, remember(core.turnlog, { userId: () => 'ann' }))
      app.use('/file', (_req, res) => res.type('application/pdf').sendFile(file))
      host = await listen(createServer(app))
    })
    after(async () => {
      await host.stop()
      await core.end()
    })
    const ask = (session: string, more: object = {}): Promise<Response> =>
      fetch(`${host.url}/file`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...more },
        body: JSON.stringify({ session_id: session, messages: [{ role: 'user', content: 'the file' }] }),
      })

    it('leaves a file that is sent as it is', async () => {
      const { id: sessionId } = await core.turnlog.sessions.create({ userId: 'ann' })
      const response = await ask(sessionId)
      const bytes = await readFile(file)
      expect(response.headers.get('content-length')).to.equal(String(bytes.length))
      expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).to.equal(true)
    })

    it('leaves a HEAD without a body alone', async () => {
      const response = await fetch(`${host.url}/file`, { method: 'HEAD' })
      expect(response.status).to.equal(200)
      expect(response.headers.get('x-session-id')).to.equal(null)
    })
  })
}
