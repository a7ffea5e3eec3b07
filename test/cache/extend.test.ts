import { expect } from 'chai'
import { array, assert, integer, nat, property } from 'fast-check'

import { extendHistory, type Extension } from '../../lib/cache/entry.js'
import { countMessages, type History, type HistoryTurn } from '../../lib/model/history.js'
import { aHistory, aTurn } from './samples.js'

const extended = (entry: History, turn: HistoryTurn, fields: Partial<Extension> = {}): History | undefined =>
  extendHistory(entry, { from: entry.revision, to: 'next', turn, keepMessages: 20, ...fields })

const placesOf = (history: History | undefined): string[] =>
  history!.turns.map(({ exchange, turn }) => `${exchange}/${turn}`)

describe('extendHistory', () => {
  it('adds the turn and takes the new revision', () => {
    const entry = aHistory()
    expect(extended(entry, aTurn(3))).to.deep.equal({
      revision: 'next',
      system: entry.system,
      turns: [aTurn(1), aTurn(2), aTurn(3)],
      from: 0,
      reach: 6,
    })
  })

  it('adds the first turn of a session', () => {
    expect(placesOf(extended(aHistory({ turns: [] }), aTurn(1)))).to.deep.equal(['1/1'])
  })

  it('adds an interrupted turn', () => {
    const turn = aTurn(4, { status: 'interrupted' })
    expect(extended(aHistory(), turn)!.turns.at(-1)).to.deep.equal(turn)
  })

  it('leaves the entry as it was', () => {
    const entry = aHistory()
    const before = structuredClone(entry)
    extended(entry, aTurn(3), { keepMessages: 2 })
    expect(entry).to.deep.equal(before)
  })

  it('puts a turn of tool steps behind its exchange, before questions asked meanwhile', () => {
    const entry = aHistory({ turns: [aTurn(1), aTurn(2), aTurn(3)] })
    expect(placesOf(extended(entry, aTurn(4, { exchange: 2 })))).to.deep.equal(['1/1', '2/2', '2/4', '3/3'])
  })

  it('puts a turn that was asked earlier and answered later in its own place', () => {
    const entry = aHistory({ turns: [aTurn(1), aTurn(3)] })
    expect(placesOf(extended(entry, aTurn(2)))).to.deep.equal(['1/1', '2/2', '3/3'])
  })

  it('puts a turn of the newest exchange at the end', () => {
    expect(placesOf(extended(aHistory(), aTurn(3, { exchange: 2 })))).to.deep.equal(['1/1', '2/2', '2/3'])
  })

  describe('drops the entry', () => {
    const entry = aHistory({
      turns: [aTurn(3), aTurn(4, { exchange: 3 }), aTurn(5), aTurn(6), aTurn(9, { exchange: 6 }), aTurn(7)],
      from: 5,
    })
    const cases: [string, HistoryTurn, Partial<Extension>?][] = [
      ['of another revision', aTurn(10), { from: 'other' }],
      ['when the revision did not move', aTurn(10), { to: entry.revision }],
      ['that holds the turn already', aTurn(9, { exchange: 6 })],
      ['that does not reach back to the exchange that the turn joins', aTurn(10, { exchange: 4 })],
      ['that holds only a part of the exchange that the turn joins', aTurn(10, { exchange: 3 })],
      ['that lacks the exchange that the turn joins', aTurn(10, { exchange: 8 })],
    ]
    for (const [name, turn, fields] of cases)
      it(name, () => expect(extended(entry, turn, fields)).to.equal(undefined))
  })

  it('drops the oldest exchanges that a window cannot need, and says so', () => {
    const result = extended(aHistory(), aTurn(3), { keepMessages: 3 })
    expect(placesOf(result)).to.deep.equal(['3/3'])
    expect(result!.from).to.equal(3)
    expect(result!.reach).to.equal(4)
  })

  it('keeps a long exchange whole', () => {
    const steps = [aTurn(2), aTurn(3, { exchange: 2 }), aTurn(4, { exchange: 2 })]
    const result = extended(aHistory({ turns: [aTurn(1), ...steps] }), aTurn(5, { exchange: 2 }), {
      keepMessages: 2,
    })
    expect(placesOf(result)).to.deep.equal(['2/2', '2/3', '2/4', '2/5'])
    expect(result!.from).to.equal(2)
  })

  it('forgets what stood there only in part', () => {
    const entry = aHistory({ turns: [aTurn(1), aTurn(9, { exchange: 1 }), aTurn(5)], from: 5 })
    const result = extended(entry, aTurn(10))
    expect(placesOf(result)).to.deep.equal(['5/5', '10/10'])
    expect(result!.from).to.equal(5)
  })

  it('reaches as far as before, and over the new turn', () => {
    const entry = aHistory({ turns: [aTurn(5)], from: 5, reach: 9 })
    expect(extended(entry, aTurn(6))!.reach).to.equal(11)
  })

  it('is always the newest whole exchanges of all that was said, enough for the window and no more', () => {
    // A session of random turns, each a new question or a step of an earlier exchange, against the whole history.
    assert(
      property(array(nat(4), { maxLength: 30 }), integer({ min: 1, max: 12 }), (joins, keep) => {
        let all: HistoryTurn[] = []
        let entry: History = aHistory({ turns: [], from: 0 })
        for (const [index, back] of joins.entries()) {
          const joined = back === 0 ? undefined : all.at(-back)
          const turn = aTurn(index + 1, { exchange: joined?.exchange ?? index + 1 })
          all = [...all, turn].toSorted((a, b) => a.exchange - b.exchange || a.turn - b.turn)
          const whole = { ...entry, turns: all, from: 0 }
          const next = extended(entry, turn, { to: `${index}`, keepMessages: keep })
          entry = next ?? { ...whole, revision: `${index}`, reach: countMessages(all) }
          expect(entry.turns).to.deep.equal(all.filter(({ exchange }) => exchange >= entry.from))
          const older = all.findLast(({ exchange }) => exchange < entry.from)?.exchange
          const looked = all.filter(({ exchange }) => exchange >= (older ?? 0))
          expect(entry.reach).to.equal(countMessages(looked))
          if (entry.from > 0) expect(entry.reach).to.be.above(keep)
          const newest = entry.turns.every(({ exchange }) => exchange === all.at(-1)!.exchange)
          if (next && !newest) expect(countMessages(entry.turns)).to.be.at.most(keep)
        }
      }),
      { numRuns: 300 },
    )
  })
})
