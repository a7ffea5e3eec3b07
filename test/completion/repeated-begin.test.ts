import { expect } from 'chai'

import { createTurnlog, type Message } from '../../lib/index.js'
import { freshCore } from '../services/core.js'
import { startProxy } from '../services/proxy.js'

const contents = (messages: readonly Message[]): unknown[] => messages.map(({ content }) => content)

describe('a turn whose begin is repeated', () => {
  it('is sent without the turns that came after it', async () => {
    const core = await freshCore()
    const proxy = await startProxy(core.url)
    const slow = createTurnlog({ database: proxy.url })
    try {
      const { id: sessionId } = await core.turnlog.sessions.create({ userId: 'ann' })
      const asked = (question: string) => ({ userId: 'ann', sessionId, question })
      await (await core.turnlog.begin(asked('zero'))).complete('0')
      const cut = new Promise<void>((resolve) => {
        proxy.loseAnswerTo('chat_begin', () => {
          proxy.refuse(true)
          resolve()
        })
      })
      const beginning = slow.begin(asked('one'))
      await cut
      const second = await core.turnlog.begin(asked('two'))
      await second.complete('2')
      proxy.refuse(false)
      const first = await beginning

      expect([first.number, second.number]).to.deep.equal([2, 3])
      expect(contents(first.messages)).to.deep.equal(['zero', '0', 'one'])
      await first.complete('1')
      for (const turnlog of [slow, core.turnlog]) {
        const last = await turnlog.begin(asked('three'))
        expect(contents(last.messages)).to.deep.equal(['zero', '0', 'one', '1', 'two', '2', 'three'])
        await last.discard()
      }
    } finally {
      await slow.close({ drainMs: 0 })
      await proxy.stop()
      await core.end()
    }
  })
})
