import { expect } from 'chai'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Misconfigured } from '../../lib/model/errors.js'
import { lockDirectory } from '../../lib/store/directory-lock.js'
import { EmbeddedStore } from '../../lib/store/embedded.js'
import { listed } from './asking.js'
import { child, type Child, type Task } from './child.js'

describe('directory lock', function () {
  this.timeout(60_000)
  let directory: string
  let children: Child[]
  let stores: EmbeddedStore[]
  beforeEach(() => {
    stores = []
    directory = mkdtempSync(join(tmpdir(), 'turnlog-lock-'))
    children = []
  })
  afterEach(async () => {
    await Promise.all([...children.map((each) => each.end()), ...stores.map((store) => store.close())])
    rmSync(directory, { recursive: true, force: true })
  })

  const start = (task: Task, env?: NodeJS.ProcessEnv): Child => {
    const each = child(task, env)
    children.push(each)
    return each
  }

  const embedded = (): EmbeddedStore => {
    const store = new EmbeddedStore({ directory })
    stores.push(store)
    return store
  }

  const isRefused = async (attempt: Promise<unknown>): Promise<void> => {
    const error = await attempt.then(
      () => undefined,
      (fault: unknown) => fault,
    )
    expect(error).to.be.instanceOf(Misconfigured)
    expect(String(error)).to.match(/in use by another process.*use Postgres/)
  }

  it('lets one in at a time and leaves nothing behind', async () => {
    const lock = await lockDirectory(directory)
    await isRefused(lockDirectory(directory))
    await lock.release()
    const next = await lockDirectory(directory)
    await next.release()
    expect(readdirSync(directory)).to.deep.equal([])
  })

  it('refuses a second process, also while the first is stopped', async () => {
    const holder = start({ do: 'lock', directory })
    expect(await holder.answer).to.equal('locked')
    await isRefused(lockDirectory(directory))
    holder.process.kill('SIGSTOP')
    await isRefused(lockDirectory(directory))
  })

  it('survives a kill -9 of its holder, again and again', async () => {
    for (let round = 0; round < 3; round++) {
      const holder = start({ do: 'lock', directory })
      expect(await holder.answer).to.equal('locked')
      holder.process.kill('SIGKILL')
      await once(holder.process, 'exit')
    }
    const lock = await lockDirectory(directory)
    expect(readdirSync(directory), 'dead locks are removed').to.have.length(1)
    await lock.release()
  })

  it('lets at most one of many in that come at once, over a dead lock', async () => {
    const dead = start({ do: 'lock', directory })
    await dead.answer
    await dead.end()
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => start({ do: 'lock', directory }).answer),
    )
    expect(answers.filter((answer) => answer === 'locked')).to.have.length.at.most(1)
    const others = answers.filter((answer) => answer !== 'locked')
    expect(others.every((answer) => answer.includes('in use by another process'))).to.equal(true)
  })

  it('is not disturbed by other files in the directory', async () => {
    writeFileSync(join(directory, 'lock.txt'), '')
    const lock = await lockDirectory(directory)
    await lock.release()
    expect(readdirSync(directory)).to.deep.equal(['lock.txt'])
  })

  it('says when the path is too long for a socket', async () => {
    const error = await lockDirectory(join(directory, 'x'.repeat(100))).catch((fault: unknown) => fault)
    expect(error).to.be.instanceOf(Misconfigured)
    expect(String(error)).to.match(/too long/)
  })

  describe('of the embedded store', () => {
    it('keeps what was acknowledged over a kill -9, and refuses a second store', async () => {
      const writer = start({ do: 'embed', directory, sessionId: 's' })
      expect(await writer.answer).to.equal('ready')
      await isRefused(embedded().ready())
      await writer.end()
      const store = embedded()
      await store.ready()
      expect(await listed(store, { userId: 'u', sessionId: 's' })).to.have.length(20)
      await store.close()
    })

    it('refuses a cluster worker, in a directory and in memory', async () => {
      for (const task of [{ do: 'embed', directory }, { do: 'embed' }] as const) {
        const answer = await start(task, { NODE_UNIQUE_ID: '1' }).answer
        expect(answer).to.match(/this is a cluster worker.*Use Postgres/)
      }
    })
  })
})
