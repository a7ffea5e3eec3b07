import { expect } from 'chai'

import { faultsOf } from './checker.js'
import { afterFailover, beforeFailover } from './failover.js'
import type { Attempt, Change, Prompt, Said, SessionRecord, SessionState, StoredTurn } from './record.js'

const second = 1_000_000

/** A question that was sent at `at` seconds and acknowledged half a second later, as turn `turn`. */
const anAttempt = (turn: number, more: Partial<Attempt> = {}): Attempt => ({
  id: `r${turn}`,
  session: 's',
  operation: `o${turn}`,
  question: `q${turn}`,
  sentAt: turn * second,
  endedAt: turn * second + second / 2,
  outcome: 'acknowledged',
  turn,
  answer: `a${turn}`,
  ...more,
})

const aTurn = (turn: number, more: Partial<StoredTurn> = {}): StoredTurn => ({
  turn,
  status: 'done',
  question: [['user', `q${turn}`]],
  answer: [['assistant', `a${turn}`]],
  ...more,
})

const exchange = (turn: number): Said[] => [
  ['user', `q${turn}`],
  ['assistant', `a${turn}`],
]

const aPrompt = (turn: number, history: readonly Said[], more: Partial<Prompt> = {}): Prompt => ({
  attempt: `r${turn}`,
  session: 's',
  turn,
  at: turn * second + 1000,
  messages: [...history, ['user', `q${turn}`]],
  answer: `a${turn}`,
  ...more,
})

const aState = (turns: readonly StoredTurn[], more: Partial<SessionState> = {}): SessionState => ({
  limit: 20,
  turnCount: Math.max(0, ...turns.map(({ turn }) => turn)),
  messageCount: turns
    .filter(({ status }) => status !== 'superseded')
    .flatMap(({ question, answer }) => question.concat(answer)).length,
  clearedAt: 0,
  isActive: true,
  turns,
  ...more,
})

const aClear = (at: number, more: Partial<Change> = {}): Change => ({
  session: 's',
  kind: 'clear',
  sentAt: at * second,
  endedAt: at * second + 1000,
  outcome: 'acknowledged',
  ...more,
})

/** Three questions, one after the other, and nothing wrong. */
const good: SessionRecord = {
  session: 's',
  attempts: [1, 2, 3].map((turn) => anAttempt(turn)),
  prompts: [aPrompt(1, []), aPrompt(2, exchange(1)), aPrompt(3, [...exchange(1), ...exchange(2)])],
  changes: [],
  state: aState([1, 2, 3].map((turn) => aTurn(turn))),
}

const attempts = (...changed: Attempt[]): Attempt[] =>
  good.attempts.map((attempt) => changed.find(({ id }) => id === attempt.id) ?? attempt)

const prompts = (...changed: Prompt[]): Prompt[] =>
  good.prompts.map((prompt) => changed.find(({ attempt }) => attempt === prompt.attempt) ?? prompt)

const state = (...changed: StoredTurn[]): SessionState =>
  aState(good.state!.turns.map((turn) => changed.find((other) => other.turn === turn.turn) ?? turn))

const broken = (change: Partial<SessionRecord>): string[] =>
  faultsOf({ ...good, ...change }).map((fault) => fault.replace(/:.*/, ''))

describe('torture: the checker', () => {
  it('finds nothing wrong with a good history', () => {
    expect(faultsOf(good)).to.deep.equal([])
    expect(
      faultsOf({ session: 's', attempts: [], prompts: [], changes: [], state: undefined }),
    ).to.deep.equal([])
  })

  describe('acknowledged turns', () => {
    it('misses one that is gone', () => {
      expect(broken({ state: aState([aTurn(1), aTurn(2)], { turnCount: 2 }) })).to.include('lost')
      expect(broken({ state: undefined })).to.include('lost')
    })

    it('refuses one that is not done', () => {
      for (const status of ['open', 'interrupted', 'failed', 'superseded'] as const)
        expect(broken({ state: state(aTurn(3, { status, answer: [] })) })).to.include('lost')
    })

    it('refuses one with other words', () => {
      expect(broken({ state: state(aTurn(3, { answer: [['assistant', 'a4']] })) })).to.include('changed')
    })

    it('refuses an answer that the provider gave to another turn', () => {
      const swapped = { attempts: attempts(anAttempt(3, { answer: 'a2' })) }
      const state3 = state(
        aTurn(3, { answer: [['assistant', 'a2']] }),
        aTurn(2, { answer: [['assistant', 'a3']] }),
      )
      expect(broken({ ...swapped, state: state3 })).to.include('mixed')
    })

    it('refuses part of an answer as a whole one', () => {
      expect(broken({ state: state(aTurn(3, { answer: [['assistant', 'a']] })) })).to.include('mixed')
    })

    it('refuses an answer in a failed turn', () => {
      const failed = attempts(anAttempt(3, { outcome: 'failed' }))
      expect(broken({ attempts: failed, state: state(aTurn(3, { status: 'failed' })) })).to.include(
        'dishonest',
      )
    })
  })

  describe('numbers', () => {
    it('misses one that was skipped', () => {
      const later = aState([aTurn(1), aTurn(2), aTurn(3), aTurn(5, { question: [['user', 'q3']] })])
      expect(broken({ state: later })).to.include('gap')
    })

    it('lets a discarded one be missing, once', () => {
      const discarding = anAttempt(3, { discards: true, outcome: 'discarded' })
      const record = { attempts: attempts(discarding), prompts: prompts().slice(0, 2) }
      expect(broken({ ...record, state: aState([aTurn(1), aTurn(2)], { turnCount: 3 }) })).to.deep.equal([])
      expect(broken({ ...record, state: aState([aTurn(1), aTurn(2)], { turnCount: 4 }) })).to.include('gap')
      expect(broken(record)).to.include('resurrected')
    })

    it('lets a discarded one be there that was deleted or cleared while it was being discarded', () => {
      const discarded = anAttempt(3, { discards: true, outcome: 'discarded' })
      const open = state(aTurn(3, { status: 'open', answer: [] }))
      const record = { attempts: attempts(discarded), prompts: good.prompts.slice(0, 2), state: open }
      expect(broken(record)).to.include('resurrected')
      const cleared = { ...open, clearedAt: 3, messageCount: 0 }
      const deleted = { ...open, isActive: false }
      for (const [at, count] of [
        [3.2, 0],
        [4, 1],
      ] as const) {
        for (const [kind, after] of [
          ['clear', cleared],
          ['delete', deleted],
        ] as const) {
          const faults = broken({ ...record, state: after, changes: [aClear(at, { kind })] })
          expect(faults, `${kind} at ${at}`).to.have.length(count)
        }
      }
      expect(broken({ ...record, state: cleared, changes: [aClear(2.7)] })).to.include('resurrected')
    })

    it('refuses one that is used twice or was never assigned', () => {
      expect(broken({ state: aState([aTurn(1), aTurn(2), aTurn(2), aTurn(3)]) })).to.include('twice')
      expect(broken({ state: aState(good.state!.turns, { turnCount: 2 }) })).to.include('number')
    })

    it('refuses one that is lower than that of a turn acknowledged before', () => {
      const late = anAttempt(2, { sentAt: 9 * second, endedAt: 10 * second })
      expect(broken({ attempts: attempts(late) })).to.include('order')
    })
  })

  describe('keys', () => {
    const again = anAttempt(3, { id: 'again', operation: 'o2', key: 'k', question: 'q2', answer: 'a3' })
    const first = anAttempt(2, { key: 'k' })
    const twoTurns = state(aTurn(3, { question: [['user', 'q2']] }))

    it('refuses two finished turns of one key', () => {
      expect(broken({ attempts: [anAttempt(1), first, again], state: twoTurns })).to.include('twice')
    })

    it('lets a question without a key have a turn for each time it was sent', () => {
      const both = [anAttempt(1), anAttempt(2), { ...again, key: undefined } as unknown as Attempt]
      const asked = [
        good.prompts[0]!,
        good.prompts[1]!,
        aPrompt(3, [...exchange(1), ...exchange(2)], { attempt: 'again' }),
      ]
      const last = { ...asked[2]!, messages: [...exchange(1), ...exchange(2), ['user', 'q2'] as Said] }
      expect(
        broken({ attempts: both, state: twoTurns, prompts: [asked[0]!, asked[1]!, last] }),
      ).to.deep.equal([])
      expect(broken({ attempts: both.slice(0, 2), state: twoTurns })).to.include('twice')
    })

    it('refuses a second call of the provider after the answer', () => {
      const retried = anAttempt(2, {
        id: 'r4',
        key: 'k',
        sentAt: 4 * second,
        endedAt: 5 * second,
        replayed: true,
      })
      const record = { attempts: [anAttempt(1), first, anAttempt(3), retried] }
      expect(broken(record)).to.deep.equal([])
      const charged = aPrompt(4, [...exchange(1), ...exchange(2), ...exchange(3)], { answer: 'a2' })
      const asking = { ...charged, messages: [...charged.messages.slice(0, -1), ['user', 'q2'] as Said] }
      expect(broken({ ...record, prompts: [...good.prompts, asking] })).to.include('charged')
    })

    it('refuses two answers to one key', () => {
      const other = anAttempt(2, {
        id: 'r4',
        key: 'k',
        sentAt: 4 * second,
        endedAt: 5 * second,
        answer: 'a5',
      })
      expect(broken({ attempts: [anAttempt(1), first, anAttempt(3), other] })).to.include('twice')
    })
  })

  describe('prompts', () => {
    it('refuses one that misses an acknowledged turn', () => {
      for (const history of [[], exchange(1), exchange(2)])
        expect(broken({ prompts: prompts(aPrompt(3, history)) })).to.include('missing')
    })

    it('lets the limit cut off the front, whole', () => {
      const limited = (limit: number, history: readonly Said[]): string[] =>
        broken({ prompts: [aPrompt(3, history)], state: { ...state(), limit } }).filter(
          (kind) => kind !== 'mixed',
        )
      expect(limited(2, exchange(2))).to.deep.equal([])
      expect(limited(2, exchange(1))).to.deep.equal(['missing'])
      expect(limited(4, exchange(2))).to.deep.equal(['missing'])
      expect(limited(2, [...exchange(1), ...exchange(2)])).to.deep.equal(['long'])
    })

    it('lets the front be shorter by turns that came after a begin that was repeated', () => {
      const short = aPrompt(4, [...exchange(2), ...exchange(3)], { at: 6 * second })
      const record = (sentAt: number): string[] =>
        broken({
          attempts: [
            ...good.attempts,
            anAttempt(4, { endedAt: 8 * second }),
            anAttempt(5, { sentAt, endedAt: 8 * second }),
          ],
          prompts: [...good.prompts, short],
          state: { ...aState([1, 2, 3, 4, 5].map((turn) => aTurn(turn))), limit: 6 },
        }).filter((fault) => fault === 'missing')
      expect(record(5 * second)).to.have.length(0)
      expect(record(6.5 * second)).to.have.length(1)
    })

    it('takes a question that was asked twice for the newer one', () => {
      const twice = aTurn(1, { status: 'interrupted', answer: [], question: [['user', 'q3']] })
      const again = aTurn(3, { status: 'interrupted', answer: [] })
      const tries = [
        anAttempt(1, { operation: 'o3', question: 'q3', outcome: 'unknown' }),
        anAttempt(3, { outcome: 'unknown' }),
      ]
      const record = {
        attempts: [tries[0]!, anAttempt(2), tries[1]!, anAttempt(4)],
        prompts: [aPrompt(2, []), aPrompt(4, [['user', 'q3']])],
        state: { ...aState([twice, aTurn(2), again, aTurn(4)]), limit: 2 },
      }
      expect(broken(record).filter((kind) => kind === 'missing')).to.deep.equal([])
    })

    it('lets a turn be missing that was acknowledged after the prompt was asked for', () => {
      const slow = anAttempt(1, { endedAt: 9 * second })
      expect(
        broken({ attempts: attempts(slow), prompts: prompts(aPrompt(2, []), aPrompt(3, exchange(2))) }),
      ).to.deep.equal([])
    })

    it('refuses other orders, and half an exchange', () => {
      const history = [...exchange(2), ...exchange(1)]
      expect(broken({ prompts: prompts(aPrompt(3, history)) })).to.include('order')
      expect(broken({ prompts: prompts(aPrompt(3, [...exchange(1), ['user', 'q2']])) })).to.include('torn')
      expect(broken({ prompts: prompts(aPrompt(3, [...exchange(1), ['assistant', 'a2']])) })).to.include(
        'torn',
      )
    })

    it('refuses exchanges that were mixed, doubled, or never asked here', () => {
      const mixed: Said[] = [
        ['user', 'q1'],
        ['user', 'q2'],
        ['assistant', 'a1'],
        ['assistant', 'a2'],
      ]
      expect(broken({ prompts: prompts(aPrompt(3, mixed)) })).to.include('torn')
      const crossed: Said[] = [
        ['user', 'q1'],
        ['assistant', 'a2'],
      ]
      expect(broken({ prompts: prompts(aPrompt(3, crossed)) })).to.include('mixed')
      expect(
        broken({ prompts: prompts(aPrompt(3, [...exchange(1), ...exchange(1), ...exchange(2)])) }),
      ).to.include('order')
      expect(broken({ prompts: prompts(aPrompt(3, exchange(7))) })).to.include('foreign')
    })

    it('refuses one whose question is not stored', () => {
      const dead = anAttempt(4, { outcome: 'unknown' })
      const asked = aPrompt(4, [...exchange(1), ...exchange(2), ...exchange(3)])
      const record = { attempts: [...good.attempts, dead], prompts: [...good.prompts, asked] }
      expect(broken(record)).to.deep.equal(['unstored'])
      const open = aTurn(4, { status: 'open', answer: [] })
      expect(broken({ ...record, state: aState([...good.state!.turns, open]) })).to.deep.equal([])
    })

    it('refuses one that does not end in the question, or comes twice', () => {
      expect(
        broken({ prompts: prompts(aPrompt(3, [], { messages: [...exchange(1), ...exchange(2)] })) }),
      ).to.include('prompt')
      expect(broken({ prompts: [...good.prompts, aPrompt(3, [...exchange(1), ...exchange(2)])] })).to.include(
        'twice',
      )
    })

    it('refuses an open turn before its lease could have run out', () => {
      const open = anAttempt(2, { endedAt: 20 * second })
      const asked = (at: number): string[] =>
        broken({
          attempts: attempts(open, anAttempt(3, { sentAt: at * second, endedAt: (at + 1) * second })),
          prompts: prompts(aPrompt(3, [...exchange(1), ['user', 'q2']], { at: at * second })),
        })
      expect(asked(3)).to.include('torn')
      expect(asked(13)).to.deep.equal([])
    })

    it('takes an interrupted question without its answer, and refuses a failed one', () => {
      const record = (status: 'interrupted' | 'failed', outcome: Attempt['outcome']): string[] =>
        broken({
          attempts: attempts(anAttempt(2, { outcome })),
          prompts: prompts(aPrompt(3, [...exchange(1), ['user', 'q2']])),
          state: state(aTurn(2, { status, answer: [] })),
        })
      expect(record('interrupted', 'unknown')).to.deep.equal([])
      expect(record('failed', 'failed')).to.include('torn')
    })
  })

  describe('what has left', () => {
    const cleared = { ...state(), clearedAt: 2, messageCount: 2 }

    it('stays away from prompts after a clear', () => {
      const record = { changes: [aClear(2.7)], state: cleared }
      expect(broken({ ...record, prompts: prompts(aPrompt(3, [])) })).to.deep.equal([])
      expect(broken(record)).to.include('resurrected')
    })

    it('may be there or not while nobody knows whether the clear came through', () => {
      const record = { changes: [aClear(2.7, { outcome: 'unknown' })], state: cleared }
      expect(broken(record)).to.deep.equal([])
      expect(broken({ ...record, prompts: prompts(aPrompt(3, [])) })).to.deep.equal([])
    })

    it('was cleared by somebody', () => {
      expect(broken({ state: cleared })).to.include('lost')
      expect(broken({ changes: [aClear(0.5)], state: cleared })).to.include('lost')
      expect(broken({ changes: [aClear(4)], state: { ...cleared, clearedAt: 2 } })).to.include('resurrected')
    })

    it('stays away when the session is deleted', () => {
      const deleted = { changes: [aClear(4, { kind: 'delete' })], state: { ...state(), isActive: false } }
      expect(broken({ ...deleted, listed: [] })).to.deep.equal([])
      expect(broken({ ...deleted, listed: exchange(1) })).to.include('resurrected')
      expect(broken({ changes: deleted.changes })).to.include('resurrected')
      expect(broken({ ...deleted, changes: [aClear(2.7, { kind: 'delete' })] })).to.include('resurrected')
      expect(broken({ state: { ...state(), isActive: false } })).to.include('lost')
    })
  })

  it('compares the list and the count with what is stored', () => {
    const all = [...exchange(1), ...exchange(2), ...exchange(3)]
    expect(broken({ listed: all })).to.deep.equal([])
    expect(broken({ listed: all.slice(2) })).to.include('listing')
    expect(broken({ listed: [...exchange(2), ...exchange(1), ...exchange(3)] })).to.include('listing')
    expect(broken({ state: { ...state(), messageCount: 5 } })).to.include('count')
  })

  describe('over a failover', () => {
    const old = state()
    const promoted = aState([aTurn(1), aTurn(2)])
    const failover = { cutAt: 3.6 * second, switchedAt: 4 * second, old, promoted }
    const fifth = anAttempt(5, { turn: 3 })
    const record: SessionRecord = {
      ...good,
      attempts: [...good.attempts, fifth],
      prompts: [...good.prompts, aPrompt(5, [...exchange(1), ...exchange(2)], { turn: 3 })],
      state: aState([aTurn(1), aTurn(2), { ...aTurn(5), turn: 3 }]),
    }
    const kinds = (faults: readonly string[]): string[] => faults.map((fault) => fault.replace(/:.*/, ''))

    it('lets a turn go that the replica did not have, and no other', () => {
      expect(faultsOf(beforeFailover(record, failover))).to.deep.equal([])
      expect(faultsOf(afterFailover(record, failover))).to.deep.equal([])
      expect(kinds(faultsOf(afterFailover(record, { ...failover, promoted: old })))).to.include('changed')
    })

    it('holds prompts to what the new database had', () => {
      const short = { ...record, prompts: [...good.prompts, aPrompt(5, exchange(1), { turn: 3 })] }
      expect(kinds(faultsOf(afterFailover(short, failover)))).to.include('missing')
      const stale = [...exchange(1), ...exchange(2), ...exchange(3)]
      const late = { ...record, prompts: [...good.prompts, aPrompt(5, stale, { turn: 3 })] }
      expect(kinds(faultsOf(afterFailover(late, failover)))).to.include('foreign')
    })

    describe('with a delete just before it', () => {
      const gone = { ...old, isActive: false }
      const lost: SessionRecord = {
        ...record,
        changes: [aClear(3.55, { kind: 'delete' })],
        attempts: [...good.attempts, anAttempt(5, { turn: 3, sentAt: 3.56 * second })],
      }
      const before = (more: object, at: object = {}): string[] =>
        kinds(faultsOf(beforeFailover({ ...lost, ...more }, { ...failover, old: gone, ...at })))
      const after = (more: object, at: object = {}): string[] =>
        kinds(faultsOf(afterFailover({ ...lost, ...more }, { ...failover, old: gone, ...at })))

      it('lets a new database that does not know of it take a question that was sent to the old one', () => {
        expect(before({})).to.deep.equal([])
        expect(after({})).to.deep.equal([])
      })

      it('refuses what the old database let through', () => {
        const early = aPrompt(5, [...exchange(1), ...exchange(2)], { turn: 3, at: 3.58 * second })
        expect(before({ prompts: [...good.prompts, early] })).to.include('resurrected')
      })

      it('refuses what the new database let through, when it had the delete', () => {
        const promoted = { promoted: gone }
        expect(after({ state: gone, prompts: good.prompts }, promoted)).to.deep.equal([])
        expect(after({ state: gone }, promoted)).to.include('resurrected')
        expect(after({}, promoted)).to.include('resurrected')
      })
    })
  })
})
