import { expect } from 'chai'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Worker } from 'node:worker_threads'
import { createTurnlog } from 'turnlog'

import { Counting } from '../../lib/completion/counting.js'
import { openTokenizer, ThreadTokenizer } from '../../lib/window/thread-tokenizer.js'
import { LocalTokenizer } from '../../lib/window/tokenizer.js'
import { freshMigratedDatabase } from '../services/core.js'
import { user } from './conversation.js'

const folder = join(import.meta.dirname, '../../dist/lib/window')
const program = join(folder, 'thread-program.js')
const run = promisify(execFile)

const texts = [['user', 'How warm is it?'], ['<|endoftext|>'], [], ['会话'.repeat(20_000)]]

describe('a counting thread', () => {
  let tokenizer: ThreadTokenizer
  let programs: string
  before(() => (programs = mkdtempSync(join(tmpdir(), 'turnlog-thread-'))))
  after(() => rmSync(programs, { recursive: true, force: true }))
  beforeEach(() => (tokenizer = new ThreadTokenizer(program)))
  afterEach(() => tokenizer.close())

  /** The thread's own program, and one that falls over a word. */
  function fragile(word: string): string {
    const path = join(programs, `${word}.mjs`)
    writeFileSync(
      path,
      `import { parentPort } from 'node:worker_threads'
      const on = parentPort.on.bind(parentPort)
      parentPort.on = (name, listener) =>
        on(name, (asked) => (asked.groups.flat().includes('${word}') ? process.exit(7) : listener(asked)))
      await import(${JSON.stringify(program)})`,
    )
    return path
  }

  it('counts as this thread does', async () => {
    const local = new LocalTokenizer()
    for (const encoding of ['o200k_base', 'cl100k_base'] as const)
      expect(await tokenizer.count(encoding, texts)).to.deep.equal(await local.count(encoding, texts))
    expect((await tokenizer.count('o200k_base', texts)).slice(0, 3)).to.deep.equal([6, 7, 0])
  })

  it('leaves the event loop of its host idle while it loads and counts', async () => {
    const before = performance.eventLoopUtilization()
    await tokenizer.load('o200k_base')
    await tokenizer.count('o200k_base', texts)
    expect(performance.eventLoopUtilization(before).utilization).to.be.below(0.5)
    expect(tokenizer.isLoaded('o200k_base')).to.equal(true)
  })

  it('lets a short text pass a long one', async () => {
    await tokenizer.load('o200k_base')
    const order: string[] = []
    const long = tokenizer.count('o200k_base', [['会话'.repeat(100_000)]]).then(() => order.push('long'))
    const short = tokenizer.count('o200k_base', [['hello']]).then(() => order.push('short'))
    await Promise.all([long, short])
    expect(order).to.deep.equal(['short', 'long'])
  })

  it('is started again after it died, and what it was counting is rejected', async () => {
    tokenizer = new ThreadTokenizer(fragile('fall'))
    await tokenizer.load('o200k_base')
    const lost = await Promise.allSettled([
      tokenizer.count('o200k_base', [['fall']]),
      tokenizer.count('o200k_base', [['user']]),
    ])
    expect(lost[0].status).to.equal('rejected')
    expect(tokenizer.isLoaded('o200k_base')).to.equal(false)
    await tokenizer.load('o200k_base')
    expect(await tokenizer.count('o200k_base', [['user']])).to.deep.equal([1])
  })

  it('leaves messages uncounted when it dies or cannot start, and says so', async () => {
    const faults: unknown[] = []
    const options = { onFault: (error: unknown) => faults.push(error) }
    const counting = new Counting({ ...options, tokenizer: new ThreadTokenizer(fragile('stumble')) })
    await counting.load('gpt-4o')
    expect(await counting.counted([user('stumble')], 'gpt-4o')).to.deep.equal([{ message: user('stumble') }])
    expect(faults).to.have.length(1)
    await counting.load('gpt-4o')
    expect(await counting.counted([user('hi')], 'gpt-4o')).to.deep.equal([{ message: user('hi'), tokens: 5 }])
    await counting.end()
    const lame = new Counting({ ...options, tokenizer: new ThreadTokenizer(join(programs, 'missing.cjs')) })
    await lame.load('gpt-4o')
    expect(await lame.counted([user('hi')], 'gpt-4o')).to.deep.equal([{ message: user('hi') }])
    expect(faults).to.have.length(2)
  })

  it('rejects what is counted when it is closed, and counts no more', async () => {
    const counted = tokenizer.count('o200k_base', texts).catch(String)
    await tokenizer.close()
    expect(await counted).to.contain('ended')
    expect(await tokenizer.count('o200k_base', texts).catch(String)).to.contain('closed')
  })

  it('keeps its process alive while it counts, and no longer', async () => {
    const script = `import { ThreadTokenizer } from ${JSON.stringify(join(folder, 'thread-tokenizer.js'))}
      const tokenizer = new ThreadTokenizer(${JSON.stringify(program)})
      console.log(await tokenizer.count('o200k_base', [['hello']]))`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script])
    expect(stdout).to.equal('[ 1 ]\n')
  })

  it('ends with its Turnlog', async () => {
    const database = await freshMigratedDatabase()
    const turnlog = createTurnlog({ database: database.url })
    const started = once(process, 'worker') as Promise<[Worker]>
    await turnlog.ready({ models: ['gpt-4o'] })
    const [worker] = await started
    const ended = once(worker, 'exit')
    await turnlog.close()
    await ended
    await database.drop()
  })

  it('is not started where its program is not: in sources, and in a bundle', () => {
    expect(openTokenizer()).to.be.instanceOf(LocalTokenizer)
    expect(openTokenizer(program)).to.be.instanceOf(ThreadTokenizer)
  })
})
