import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { expect } from 'chai'

import { call, send } from '../replay/play.js'
import { startHost, type Host } from '../replay/host.js'

/** The commands that a host prints, run as a user would paste them. */
function paste(host: Host): string[] {
  const lines = host.output.split('\n').filter((line) => line.startsWith('curl '))
  return lines.map((line) => {
    const { stdout } = spawnSync('bash', ['-c', line], {
      env: { ...process.env, TOKEN: host.token },
      encoding: 'utf8',
    })
    return stdout
  })
}

for (const name of ['express', 'koa']) {
  describe(`the reference host: ${name}`, function () {
    this.timeout(60_000)
    const script = `examples/${name}-server/server.ts`
    const directory = mkdtempSync(path.join(tmpdir(), 'turnlog-host-'))
    after(() => rmSync(directory, { recursive: true }))

    const withHost = async (work: (host: Host) => Promise<void>): Promise<number | null> => {
      const host = await startHost(script, { TURNLOG_DIR: path.join(directory, 'data') })
      try {
        await work(host)
      } catch (error) {
        await host.stop()
        throw error
      }
      return host.stop()
    }

    it('prints commands that create, ask, ask again, list and stream', async () => {
      const code = await withHost(async (host) => {
        const [created, , again, listed, streamed] = paste(host)
        expect(JSON.parse(created!)).to.have.property('session_name', 'My first session')
        expect(again).to.contain('you said: \\"My cat is called Ada.\\"')
        expect((JSON.parse(listed!) as { data: unknown[] }).data).to.have.length(4)
        expect(streamed!.trimEnd().endsWith('data: [DONE]')).to.equal(true)
        expect(await call(host, 'GET', '/healthz')).to.deep.equal({ status: 'ok' })
        expect(await call(host, 'GET', '/readyz')).to.deep.equal({ status: 'ok' })
      })
      expect(code).to.equal(0)
    })

    it('lets a running stream end whole when it is told to stop, and is gone then', async () => {
      const ask = {
        session_id: 'new',
        messages: [{ role: 'user', content: 'word '.repeat(60) }],
        stream: true,
      }
      const host = await startHost(script, { TURNLOG_DIR: path.join(directory, 'data') })
      const response = await send(host, 'POST', '/v1/chat/completions', ask)
      const stopped = host.stop()
      expect((await response.text()).endsWith('data: [DONE]\n\n')).to.equal(true)
      expect(await stopped).to.equal(0)
      const refused = await send(host, 'GET', '/healthz').catch((error: unknown) => error)
      expect(refused).to.be.instanceOf(Error)
    })

    it('says what is wrong with a database that it cannot reach', async () => {
      const start = startHost(script, { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' })
      const error = (await start.catch((fault: unknown) => fault)) as Error
      expect(error.message).to.contain('ECONNREFUSED').and.to.contain('ended with 1')
    })
  })
}
