import { once } from 'node:events'
import { createServer, request } from 'node:http'

import { expect } from 'chai'

import type { Turnlog } from '../../lib/index.js'
import { jsonAnswer } from './answers.js'
import { listen, type Framework, type HostSetup, type RunningHost } from './framework.js'

/** What comes in: bodies as the parsers of an ecosystem leave them, and sessions named anywhere. */
export function readsRequests(framework: Framework, core: () => Turnlog): void {
  let host: RunningHost | undefined
  let session = ''
  let bodies: unknown[] = []
  beforeEach(async () => {
    session = (await core().sessions.create({ userId: 'ann' })).id
    bodies = []
  })
  afterEach(() => host?.stop())

  const start = async (setup: Partial<HostSetup>): Promise<void> => {
    const provider: HostSetup['provider'] = (body) => {
      bodies.push(body)
      return jsonAnswer('yes')
    }
    host = await framework.start({ turnlog: core(), provider, ...setup })
  }
  const ask = (body: object, headers: Record<string, string> = {}, path = '/v1/chat/completions') =>
    fetch(`${host!.url}${path}`, {
      method: 'POST',
      headers: { 'x-user': 'ann', 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
  const question = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
  const asked = async (): Promise<number> =>
    (await core().sessions.find({ userId: 'ann', id: session }))!.messageCount

  for (const parser of framework.parsers) {
    if (parser === 'none') continue
    it(`reads what ${parser} leaves, and leaves the prompt as that would`, async () => {
      await start({ parser })
      for (const _ of [1, 2]) await (await ask({ ...question, session_id: session })).text()
      expect(await asked()).to.equal(4)
      const [, second] = bodies
      const isRaw = typeof second === 'string' || Buffer.isBuffer(second)
      const body: unknown = isRaw ? JSON.parse(String(second)) : second
      expect(isRaw).to.equal(/text|raw/.test(parser))
      expect(body).to.have.property('messages').with.length(3)
      expect(body).to.not.have.property('session_id')
    })
  }

  it('says what to mount where no parser is', async () => {
    await start({ parser: 'none' })
    expect((await ask({ ...question, session_id: session })).status).to.equal(500)
    expect(bodies).to.deep.equal([])
  })

  const places: [string, Partial<HostSetup>, (id: string) => [Record<string, string>, string?]][] = [
    ['a header', { sessionId: { header: 'X-Session' } }, (id) => [{ 'x-session': id }]],
    [
      'a function',
      { sessionId: (request) => request.get('x-talk')?.slice('talk:'.length) },
      (id) => [{ 'x-talk': `talk:${id}` }],
    ],
    ['a cookie', { sessionId: { cookie: 'talk' } }, (id) => [{ cookie: `a=b; talk=${id}; c="d"` }]],
    [
      'a parameter of the route',
      { sessionId: { param: 'talk' }, path: '/talks/:talk/answers' },
      (id) => [{}, `/talks/${id}/answers`],
    ],
  ]
  for (const [place, setup, of] of places) {
    it(`finds the session in ${place}`, async () => {
      await start(setup)
      const response = await ask(question, ...of(session))
      expect(response.headers.get('x-session-id')).to.equal(session)
      expect(await asked()).to.equal(2)
    })
  }

  it('leaves a request alone that names its session elsewhere', async () => {
    await start({ sessionId: { header: 'x-session' } })
    const response = await ask({ ...question, session_id: session })
    expect(response.headers.get('x-session-id')).to.equal(null)
    expect(bodies).to.deep.equal([{ ...question, session_id: session }])
  })

  it('leaves a request alone that the host skips', async () => {
    await start({ skip: (request) => request.get('x-purpose') === 'title' })
    const body = { ...question, session_id: session }
    const skipped = await ask(body, { 'x-purpose': 'title' })
    expect(await skipped.text()).to.equal(jsonAnswer('yes').text)
    expect(skipped.headers.get('x-session-id')).to.equal(null)
    expect(bodies).to.deep.equal([body])
    expect(await asked()).to.equal(0)
    await (await ask(body)).text()
    expect(await asked()).to.equal(2)
  })

  it('creates the session that a request names, where the host says so', async () => {
    await start({})
    const body = { ...question, session_id: `own-${session}` }
    expect((await ask(body)).status).to.equal(404)
    await host!.stop()
    await start({ options: { autoCreate: true } })
    for (const count of [2, 4]) {
      const response = await ask(body)
      expect([response.status, response.headers.get('x-session-id')]).to.deep.equal([200, body.session_id])
      await response.text()
      const found = await core().sessions.find({ userId: 'ann', id: body.session_id })
      expect(found!.messageCount).to.equal(count)
    }
  })

  it('leaves a request alone that asks nothing, though its cookie names a session', async () => {
    await start({ sessionId: { cookie: 'talk' } })
    const headers = { 'x-user': 'ann', cookie: `talk=${session}` }
    const response = await fetch(`${host!.url}/v1/chat/completions`, { method: 'POST', headers })
    expect([response.status, response.headers.get('x-session-id')]).to.deep.equal([200, null])
  })

  it('warns of a request that is piped on, and names the fix', async () => {
    const upstream = await listen(
      createServer((req, res) => void req.resume().on('end', () => res.end('{}'))),
    )
    const warnings: string[] = []
    const note = ({ message }: Error): void => void warnings.push(message)
    process.on('warning', note)
    await start({
      handler: async (_body, res) => {
        const onward = request(`${upstream.url}/v1`, { method: 'POST' })
        res.req.pipe(onward)
        await once(onward, 'response')
        res.end(jsonAnswer('empty').text)
      },
    })
    for (const _ of [1, 2]) await (await ask({ ...question, session_id: session })).text()
    process.off('warning', note)
    await upstream.stop()
    expect(warnings.filter((message) => message.includes('JSON.stringify(req.body)'))).to.have.length(1)
  })

  it('warns once of answers that its format does not read, and names the fix; of a refusal never', async () => {
    const warnings: string[] = []
    const note = ({ message }: Error): void => void warnings.push(message)
    process.on('warning', note)
    await start({
      handler: (body, res) => {
        const [{ content }] = body['messages'] as [{ content: string }]
        if (content === 'refuse') res.statusCode = 429
        res.setHeader('content-type', 'application/json')
        res.end('{"content":"in words of my own"}')
      },
    })
    const refused = { messages: [{ role: 'user', content: 'refuse' }] }
    await (await ask({ ...refused, session_id: session })).text()
    const told = (): string[] => warnings.filter((message) => message.includes('hostFormat'))
    expect(told()).to.deep.equal([])
    for (const _ of [1, 2]) await (await ask({ ...question, session_id: session })).text()
    process.off('warning', note)
    expect(told()).to.have.length(1)
    expect(told()[0]).to.not.contain('words of my own')
  })
}
