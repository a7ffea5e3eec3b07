import { expect } from 'chai'

import type { Store } from '../../lib/store/store.js'
import { aBegin, aComplete, aSession, ask, assistant, begun, listed, user } from './asking.js'

const times = <Item>(count: number, make: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, index) => make(index))

/** What holds when callers come at once, from one process: over every store. Two processes are in races.test.ts. */
export function callersAtOnce(get: () => Store): void {
  it('keeps 64 callers on one session gapless, each once and whole', async () => {
    const key = await aSession(get())
    const asked = await Promise.all(
      times(64, (index) =>
        ask(get(), key, { question: [user(`q${index}`)] }, { answer: [assistant(`a${index}`)] }),
      ),
    )
    expect(asked.map(({ turn }) => turn).sort((one, other) => one - other)).to.deep.equal(
      times(64, (index) => index + 1),
    )
    const said = await listed(get(), key)
    const pairs = times(64, (index) => said.slice(2 * index, 2 * index + 2).join(' '))
    expect(pairs.toSorted()).to.deep.equal(
      times(64, (index) => `user:q${index} assistant:a${index}`).toSorted(),
    )
  })

  it('begins one turn for a key that is sent three times at once', async () => {
    const key = await aSession(get())
    const results = await Promise.all(times(3, () => get().beginTurn(aBegin(key, { key: 'k' }))))
    expect(results.map(({ status }) => status).toSorted()).to.deep.equal(['begun', 'running', 'running'])
    expect(await listed(get(), key)).to.deep.equal(['user:a question'])
  })

  it('begins one turn for a begin that is sent again at once, as one whose acknowledgement was lost', async () => {
    const key = await aSession(get())
    const call = aBegin(key)
    const results = await Promise.all(times(3, () => begun(get(), call)))
    expect(results.map(({ turn }) => turn)).to.deep.equal([1, 1, 1])
    expect(await listed(get(), key)).to.deep.equal(['user:a question'])
  })

  it('stores an answer once that is sent again at once', async () => {
    const key = await aSession(get())
    const call = aBegin(key)
    const { turn } = await begun(get(), call)
    const results = await Promise.all(times(3, () => get().completeTurn(aComplete(call, turn))))
    expect(results.map(({ status }) => status).toSorted()).to.deep.equal([
      'completed',
      'repeated',
      'repeated',
    ])
    expect(await listed(get(), key)).to.deep.equal(['user:a question', 'assistant:an answer'])
  })

  it('lets no answer back in that comes with or after a clear', async () => {
    const key = await aSession(get())
    const call = aBegin(key)
    const { turn } = await begun(get(), call)
    const [, completed] = await Promise.all([
      get().clearSession(key),
      get().completeTurn(aComplete(call, turn)),
    ])
    expect(completed.status).to.be.oneOf(['completed', 'cleared'])
    expect(await get().completeTurn(aComplete(call, turn))).to.have.property('status', 'cleared')
    expect(await listed(get(), key)).to.deep.equal([])
  })
}
