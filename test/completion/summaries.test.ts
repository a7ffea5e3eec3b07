import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'

import {
  createTurnlog,
  Misconfigured,
  type Message,
  type Summarize,
  type Turn,
  type TurnlogOptions,
} from '../../lib/index.js'
import { freshCore, type FreshCore } from '../services/core.js'

const user = (content: string): Message => ({ role: 'user', content })

interface Asked {
  readonly said: readonly string[]
  readonly previous: string | undefined
}

describe('a summary', () => {
  let core: FreshCore
  let session: string
  let asked: Asked[]
  const summarize: Summarize = (turns, previous) => {
    const said = turns.flatMap(({ messages }) => messages.map(({ message }) => message.role[0]!))
    asked.push({
      said: turns.flatMap(({ messages }) => messages.map(({ message }) => JSON.stringify(message.content))),
      previous,
    })
    return `${previous ?? ''}[${said.join('')}]`
  }
  const start = async (options: TurnlogOptions = {}): Promise<void> => {
    asked = []
    core = await freshCore({ maxHistoryMessages: 6, summarize, ...options })
    session = (await core.turnlog.sessions.create({ userId: 'ann' })).id
  }
  afterEach(() => core.end())

  const begin = (question: string | readonly Message[]): Promise<Turn> =>
    core.turnlog.begin({ userId: 'ann', sessionId: session, question })
  const tell = async (question: string, answer = question.toUpperCase()): Promise<Turn> => {
    const turn = await begin(question)
    expect(await turn.complete(answer)).to.equal('stored')
    return turn
  }
  const sent = async (): Promise<readonly unknown[]> => {
    const turn = await begin('next')
    await turn.discard()
    return turn.history.map(({ content }) => content)
  }
  const untilSent = async (what: (history: readonly unknown[]) => boolean): Promise<readonly unknown[]> => {
    for (;;) {
      const history = await sent()
      if (what(history)) return history
      await sleep(10)
    }
  }
  const summarized = (to: number) => (history: readonly unknown[]) =>
    String(history[0]).startsWith(`Summary of turns 1 to ${to} `)

  it('takes the place of what falls out, behind the answer, and says which turns it covers', async () => {
    await start()
    for (const name of ['a', 'b', 'c', 'd']) await tell(name)
    expect(await untilSent(summarized(3))).to.deep.equal([
      'Summary of turns 1 to 3 of this conversation:\n\n[uauaua]',
      'd',
      'D',
    ])
    const turn = await begin('next')
    expect(turn.history[0]!.role).to.equal('system')
    expect(turn.receipt).to.include({ summarized: 3, injected: 3, dropped: 0 })
    expect(turn.receipt.trimmedBy).to.equal(undefined)
    await turn.discard()
  })

  it('leaves the raw messages listed', async () => {
    await start()
    for (const name of ['a', 'b', 'c', 'd']) await tell(name)
    await untilSent(summarized(3))
    const page = await core.turnlog.messages.list({ userId: 'ann', sessionId: session })
    expect(page!.data.map(({ message }) => message.content)).to.deep.equal([
      'a',
      'A',
      'b',
      'B',
      'c',
      'C',
      'd',
      'D',
    ])
    expect((await core.turnlog.sessions.find({ userId: 'ann', id: session }))!.messageCount).to.equal(8)
  })

  it('is taken in by the next one, and found by every process', async () => {
    await start()
    for (const name of ['a', 'b', 'c', 'd']) await tell(name)
    await untilSent(summarized(3))
    for (const name of ['e', 'f', 'g']) await tell(name)
    await untilSent((history) => String(history[0]).includes('[uauaua][uauaua]'))
    expect(asked.map(({ previous }) => previous)).to.deep.equal([undefined, '[uauaua]'])
    expect(asked[1]!.said).to.deep.equal(['"d"', '"D"', '"e"', '"E"', '"f"', '"F"'])
    const other = createTurnlog({ database: core.url })
    const turn = await other.begin({ userId: 'ann', sessionId: session, question: 'q' })
    expect(turn.history[0]!.content).to.contain('[uauaua][uauaua]')
    await turn.discard()
    await other.close({ drainMs: 0 })
  })

  it('makes nobody wait, and drops when it fails', async () => {
    const faults: unknown[] = []
    await start({
      onFault: (error) => faults.push(error),
      summarize: () => {
        throw new Error('no')
      },
    })
    for (const name of ['a', 'b', 'c', 'd', 'e']) await tell(name)
    while (faults.length === 0) await sleep(5)
    expect(await sent()).to.deep.equal(['c', 'C', 'd', 'D', 'e', 'E'])
    const never = await begin('q')
    expect(never.receipt.trimmedBy).to.equal('messages')
    await never.discard()
  })

  it('stands behind the pinned message, and beside a new one', async () => {
    await start()
    const first = await begin([{ role: 'system', content: 'Be brief.' }, user('a')])
    await first.complete('A')
    for (const name of ['b', 'c', 'd']) await tell(name)
    const history = await untilSent((all) => String(all[0]).includes('Summary of turns 1 to 3'))
    expect(history[0]).to.equal('Be brief.\n\nSummary of turns 1 to 3 of this conversation:\n\n[uauaua]')
    const question = [{ role: 'system', content: 'Be long.' }, user('q')]
    const asking = { userId: 'ann', sessionId: session, question }
    const { messages } = await core.turnlog.context(asking)
    const turn = await core.turnlog.begin(asking)
    expect(turn.messages.slice(0, 2).map(({ content }) => String(content).slice(0, 7))).to.deep.equal([
      'Be long',
      'Summary',
    ])
    expect(messages).to.deep.equal(turn.messages)
    await turn.discard()
  })

  it('does not hide from a client that its history is known', async () => {
    await start({ verifyResent: true })
    for (const name of ['a', 'b', 'c', 'd']) await tell(name)
    await untilSent(summarized(3))
    const all = ['a', 'A', 'b', 'B', 'c', 'C', 'd', 'D']
    const resent = all.map((content, at) => ({ role: at % 2 === 0 ? 'user' : 'assistant', content }))
    const turn = await begin([...resent, user('e')])
    expect(turn.receipt.reconciled).to.equal(8)
    await turn.discard()
  })

  it('goes with what it covers when that is cleared', async () => {
    await start()
    for (const name of ['a', 'b', 'c', 'd']) await tell(name)
    await untilSent(summarized(3))
    await core.turnlog.sessions.clear({ userId: 'ann', id: session })
    expect(await sent()).to.deep.equal([])
  })

  it('that was being made when the history was cleared is not kept', async () => {
    let told: (text: string) => void = () => undefined
    await start({ summarize: () => new Promise<string>((resolve) => (told = resolve)) })
    for (const name of ['a', 'b', 'c', 'd']) await tell(name)
    await core.turnlog.sessions.clear({ userId: 'ann', id: session })
    told('what was cleared')
    await sleep(100)
    for (const name of ['x', 'y']) await tell(name)
    expect(await sent()).to.deep.equal(['x', 'X', 'y', 'Y'])
  })

  it('is made by one process at a time', async () => {
    let running = 0
    let most = 0
    const slow: Summarize = async (turns) => {
      most = Math.max(most, ++running)
      await sleep(50)
      running--
      return `${turns.length} turns`
    }
    await start({ summarize: slow })
    const other = createTurnlog({ database: core.url, summarize: slow })
    for (let at = 0; at < 12; at++) {
      const turnlog = at % 2 === 0 ? core.turnlog : other
      const turn = await turnlog.begin({ userId: 'ann', sessionId: session, question: `q${at}` })
      await turn.complete('a')
    }
    await untilSent((history) => String(history[0]).startsWith('Summary'))
    expect(most).to.equal(1)
    await other.close({ drainMs: 0 })
  })

  it('must be asked for with a way to make it', async () => {
    await start({ overflow: 'drop' })
    for (const name of ['a', 'b', 'c', 'd', 'e']) await tell(name)
    expect(await sent()).to.deep.equal(['c', 'C', 'd', 'D', 'e', 'E'])
    expect(asked).to.deep.equal([])
    expect(() => createTurnlog({ overflow: 'summarize', database: 'memory' })).to.throw(
      Misconfigured,
      'summarize',
    )
  })
})
