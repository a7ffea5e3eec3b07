import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'

/** The reference host as a stranger runs it: a process, its output, its signals. */
describe('the reference host', function () {
  this.timeout(60_000)
  let directory: string
  let host: ChildProcess | undefined
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tl-'))
  })
  afterEach(async () => {
    if (host?.exitCode === null) {
      host.kill('SIGKILL')
      await once(host, 'exit')
    }
    await rm(directory, { recursive: true, force: true })
  })

  function start(env: Record<string, string>): {
    output: () => string
    until: (text: string) => Promise<void>
  } {
    const child = spawn(process.execPath, ['--import', 'tsx', 'examples/express-server/server.ts'], {
      env: { ...process.env, PORT: '0', TURNLOG_DIR: directory, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    host = child
    let output = ''
    child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()))
    child.stderr.on('data', (bytes: Buffer) => (output += bytes.toString()))
    const until = async (text: string): Promise<void> => {
      while (!output.includes(text) && child.exitCode === null)
        await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    }
    return { output: () => output, until }
  }

  const exit = async (): Promise<number | null> => {
    if (host!.exitCode === null) await once(host!, 'exit')
    return host!.exitCode
  }

  it('lets a running stream finish whole when it is told to stop', async () => {
    const { output, until } = start({ DATABASE_URL: '', REDIS_URL: '', UPSTREAM_URL: '', JWT_SECRET: '' })
    await until('# stream')
    const [, url] = /listens on (\S+)/.exec(output())!
    const [, token] = /TOKEN=(\S+)/.exec(output())!
    const content = 'one two three four five six seven eight nine ten eleven twelve thirteen fourteen'
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ session_id: 'new', stream: true, messages: [{ role: 'user', content }] }),
    })
    host!.kill('SIGTERM')
    expect(await response.text()).to.contain('data: [DONE]')
    expect(await exit()).to.equal(0)
  })

  it('says what is behind a database that does not answer', async () => {
    const { output } = start({ DATABASE_URL: 'postgres://u:secret@127.0.0.1:1/x' })
    expect(await exit()).to.equal(1)
    expect(output()).to.contain('ECONNREFUSED')
    expect(output()).to.not.contain('secret')
    expect(output()).to.not.contain('    at ')
  })

  it('says that tables are missing, and what to run', async () => {
    const { output } = start({ DATABASE_URL: process.env.TEST_DATABASE_URL! })
    expect(await exit()).to.equal(1)
    expect(output()).to.contain('turnlog migrate')
  })
})
