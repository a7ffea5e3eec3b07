import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

import { expect } from 'chai'

import { errorOf, type Client } from './client.js'
import type { AppOptions } from './framework.js'
import { expectError, type Stage } from './stage.js'

/** Bodies, whoever reads them. */
export function bodies(stage: Stage): void {
  for (const parser of ['none', 'json', 'text'] as const) {
    const whose = parser === 'none' ? 'no parser' : `a parser of ${parser}`
    describe(`bodies, where the host mounts ${whose}`, () => withParser(stage, parser))
  }
  describe('bodies that no parser has read', () => unread(stage))
}

function withParser(stage: Stage, parser: 'none' | 'json' | 'text'): void {
  let call: Client
  beforeEach(async () => {
    ;({ call } = await stage.another({ parser }))
  })

  it('reads JSON', async () => {
    const reply = await call('POST', '', stage.as({ body: { session_name: 'ünï 😀' } }))
    expect(reply.status, reply.text).to.equal(201)
    expect(reply.json.session_name).to.equal('ünï 😀')
  })

  it('reads JSON of a narrower kind, and with a charset', async () => {
    for (const type of [
      'application/merge-patch+json',
      'application/json; charset=utf-8',
      'Application/JSON',
    ]) {
      const headers = { 'content-type': type }
      const reply = await call('POST', '', stage.as({ body: { session_name: 'a' }, headers }))
      expect(reply.json.session_name, type).to.equal('a')
    }
  })

  it('takes no body as nothing', async () => {
    expect((await call('POST', '', stage.as())).status).to.equal(201)
    const headers = { 'content-type': 'application/json' }
    expect((await call('POST', '', stage.as({ headers }))).status).to.equal(201)
  })

  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
  ]) {
    it(`refuses ${type}`, async () => {
      const sent = { raw: '{"session_name":"a"}', headers: { 'content-type': type } }
      const reply = await call('POST', '', stage.as(sent))
      expectError(reply, 400, 'invalid_request', null)
      expect(errorOf(reply).message).to.include(`Content-Type must be application/json, got "${type}"`)
    })
  }
}

function unread(stage: Stage): void {
  const unreadIn = async (options: Partial<AppOptions> = {}): Promise<Client> =>
    (await stage.another({ parser: 'none', ...options })).call

  for (const raw of [
    '{',
    '{"a":}',
    "{'a':1}",
    'session_name=a',
    '\u0000',
    '{"a":1}{"b":2}',
    'undefined',
    ' ',
  ]) {
    it(`refuses ${JSON.stringify(raw)}, which is no JSON`, async () => {
      const reply = await (await unreadIn())('POST', '', stage.as({ raw }))
      expectError(reply, 400, 'invalid_request', null)
      expect(errorOf(reply).message).to.include('not valid JSON')
    })
  }

  for (const [raw, got] of Object.entries({ null: 'null', '7': '7', '"a"': '"a"', true: 'true' })) {
    it(`refuses ${raw}, which is no object`, async () => {
      const reply = await (await unreadIn())('POST', '', stage.as({ raw }))
      expectError(reply, 400, 'invalid_request', null)
      expect(errorOf(reply).message).to.equal(`The body must be a JSON object, got ${got}.`)
    })
  }

  it('refuses bytes that are no UTF-8', async () => {
    const raw = Buffer.from('{"session_name":"\xff"}', 'latin1')
    expectError(await (await unreadIn())('POST', '', stage.as({ raw })), 400, 'invalid_request')
  })

  it('refuses compressed bytes', async () => {
    const sent = { raw: gzipSync('{"session_name":"a"}'), headers: { 'content-encoding': 'gzip' } }
    const reply = await (await unreadIn())('POST', '', stage.as(sent))
    expectError(reply, 400, 'invalid_request')
    expect(errorOf(reply).message).to.include('uncompressed')
  })

  it('survives a body that is nested a hundred thousand times', async () => {
    const call = await unreadIn()
    const nested = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    expectError(await call('POST', '', stage.as({ raw: nested })), 400, 'invalid_request', null)
    const reply = await call('POST', '', stage.as({ raw: `{"metadata":{"a":${nested}}}` }))
    expectError(reply, 400, 'invalid_request', 'metadata')
  })

  it('takes a body at the cap, and no byte more', async () => {
    const call = await unreadIn({ maxBodyBytes: 100 })
    const ofBytes = (bytes: number) => `{"session_name":"a"}${' '.repeat(bytes - 20)}`
    expect((await call('POST', '', stage.as({ raw: ofBytes(100) }))).status).to.equal(201)
    const reply = await call('POST', '', stage.as({ raw: ofBytes(101) }))
    expectError(reply, 413, 'payload_too_large', null)
    expect(errorOf(reply).message).to.include('100 bytes')
  })

  it('keeps the cap where the length is not said before', async () => {
    const call = await unreadIn({ maxBodyBytes: 100 })
    const chunks = (count: number) =>
      new Blob(['{"session_name":"a"}', ...Array.from({ length: count }, () => ' '.repeat(20))]).stream()
    expect((await call('POST', '', stage.as({ raw: chunks(4) }))).status).to.equal(201)
    expectError(await call('POST', '', stage.as({ raw: chunks(5) })), 413, 'payload_too_large')
    expectError(await call('POST', '', stage.as({ raw: chunks(5_000) })), 413, 'payload_too_large')
  })

  it('troubles nobody when the client goes away in the middle', async () => {
    let asked = (): void => undefined
    const reached = new Promise<void>((resolve) => {
      asked = resolve
    })
    const userId = (): string => {
      asked()
      return stage.user
    }
    const app = await stage.another({ parser: 'none', userId })
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1')
    socket.write(
      'POST /chat/sessions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
    )
    await reached
    socket.destroy()
    await sleep(100)
    expect(app.errors).to.deep.equal([])
    expect((await app.call('GET', '')).json.data).to.deep.equal([])
  })

  it('tells the host when its middleware has read the body and left it nowhere', async () => {
    const app = await stage.another({ parser: 'lost' })
    const reply = await app.call('POST', '', stage.as({ body: {} }))
    expect(reply.status).to.equal(500)
    expect(reply.json).to.deep.equal({ host: 'misconfigured' })
    expect(String(app.errors[0])).to.include('Mount a JSON body parser')
  })
}
