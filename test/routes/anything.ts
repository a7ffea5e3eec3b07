import { request } from 'node:http'

import { expect } from 'chai'
import * as fc from 'fast-check'

import type { Running } from './framework.js'
import { mount, type Stage } from './stage.js'

const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'PROPFIND')

const segment = fc.oneof(
  fc.constantFrom('a', 'messages', 'turns', 'clear', '1', '..', '%', '%00', '%ff', '__proto__', '2147483648'),
  fc.string({ maxLength: 8 }).map(encodeURIComponent),
  fc.stringMatching(/^[!-"$->@-~]{0,6}$/),
)

/** Cursors as the store writes them, with places that never were. */
const cursor = fc.oneof(
  fc.string(),
  fc.array(fc.integer(), { minLength: 3, maxLength: 3 }).map((place) => place.join('\n')),
  fc.date({ noInvalidDate: true }).map((date) => `${date.toISOString().replace('Z', '000Z')}\nsess`),
)

const value = fc.oneof(
  fc.string().map(encodeURIComponent),
  fc.integer().map(String),
  cursor.map((text) => Buffer.from(text).toString('base64url')),
)

const query = fc.option(
  fc
    .tuple(fc.constantFrom('limit', 'offset', 'after', 'before', 'order', 'x', '__proto__'), value)
    .map(([name, given]) => `?${name}=${given}`),
  { nil: '' },
)

const field = fc.constantFrom(
  'session_name',
  'model',
  'metadata',
  'max_history_messages',
  'ttl_seconds',
  'session_id',
)
const odd = fc.jsonValue({ stringUnit: 'binary' })
const body = fc.oneof(
  fc.constant(undefined),
  fc.string({ unit: 'binary' }),
  fc.json(),
  fc.dictionary(field, odd, { maxKeys: 2 }).map((fields) => JSON.stringify(fields)),
  fc.dictionary(fc.string({ unit: 'binary' }), odd).map((metadata) => JSON.stringify({ metadata })),
)

/** fetch would tidy the path up. */
function statusOf(
  { url }: Running,
  [verb, path, sent]: [string, string, string | undefined],
): Promise<number> {
  const { hostname, port } = new URL(url)
  const headers = sent === undefined ? {} : { 'content-type': 'application/json' }
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, method: verb, path, headers }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode!))
    })
    asked.once('error', reject).end(sent)
  })
}

/** Whatever a client sends, it is the client's fault, and the host never hears of it. */
export function anything(stage: Stage): void {
  it('answers anything that a client may send without a fault', async function () {
    this.timeout(60_000)
    const app = await stage.another({ parser: 'none', userId: () => stage.user })
    await stage.created({ session_id: 'a' })
    const call = fc.tuple(method, fc.array(segment, { maxLength: 4 }), query, body)
    await fc.assert(
      fc.asyncProperty(call, async ([verb, segments, asked, sent]) => {
        const path = `${mount}/${segments.join('/')}${asked}`
        expect(await statusOf(app, [verb, path, sent])).to.be.below(500)
        expect(app.errors.splice(0)).to.deep.equal([])
      }),
      { numRuns: 500 },
    )
  })
}
