/** The service's own test, in Jest, beside the compiled service; DATABASE_URL names a migrated database. */
const http = require('node:http')
const events = require('node:events')
const jwt = require('jsonwebtoken')

const listen = async (handler) => {
  const server = http.createServer(handler).listen(0, '127.0.0.1')
  await events.once(server, 'listening')
  return server
}
const urlOf = (server) => `http://127.0.0.1:${server.address().port}`

describe('the service', () => {
  const prompts = []
  let provider, service, server
  beforeAll(async () => {
    provider = await listen(async (req, res) => {
      let text = ''
      for await (const chunk of req) text += chunk
      prompts.push(JSON.parse(text).messages.length)
      const message = { role: 'assistant', content: 'fine' }
      res.setHeader('content-type', 'application/json')
      res.end(JSON.stringify({ id: 'c', choices: [{ index: 0, message, finish_reason: 'stop' }] }))
    })
    process.env.JWT_SECRET = 'a secret of the test that is long enough'
    process.env.UPSTREAM_URL = `${urlOf(provider)}/v1`
    service = require('./app.cjs')
    server = await listen(service.app)
  })
  afterAll(async () => {
    for (const each of [server, provider]) {
      each.closeAllConnections()
      each.close()
    }
    await service.stop()
  })

  const ask = (session_id, token) =>
    fetch(`${urlOf(server)}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ session_id, model: 'm', messages: [{ role: 'user', content: 'hi' }] }),
    })

  it('remembers', async () => {
    const token = jwt.sign({ sub: 'ann' }, process.env.JWT_SECRET, { expiresIn: '1h' })
    const first = await ask('new', token)
    expect(await first.text()).toContain('fine')
    const second = await ask(first.headers.get('x-session-id'), token)
    expect(second.status).toBe(200)
    expect(await second.text()).toContain('fine')
    expect(prompts).toEqual([1, 3])
  })

  it('knows nobody without a token', async () => {
    expect((await ask('new')).status).toBe(401)
  })
})
