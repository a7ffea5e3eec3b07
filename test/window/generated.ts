import { array, boolean, constantFrom, integer, nat, option, record, type Arbitrary } from 'fast-check'
import type { HistoryTurn } from '../../lib/model/history.js'
import type { Message } from '../../lib/model/message.js'
import { aHistory, assistant, aTurn, calls, held, result, user, type Request } from './conversation.js'

/** One exchange before its turns are numbered: how many calls each step makes, how it ends, and in which tab it happens. */
interface Plan {
  readonly steps: readonly number[]
  readonly ending: 'answered' | 'abandoned' | 'interrupted' | 'retried'
  readonly tab: number
}

interface PlannedTurn {
  readonly messages: readonly Message[]
  readonly status: HistoryTurn['status']
}

const plan = (mostSteps: number, mostCalls: number): Arbitrary<Plan> =>
  record({
    steps: array(integer({ min: 1, max: mostCalls }), { maxLength: mostSteps }),
    ending: constantFrom('answered', 'answered', 'answered', 'abandoned', 'interrupted', 'retried'),
    tab: integer({ min: 0, max: 1 }),
  })

function plannedTurns({ steps, ending }: Plan, name: string): PlannedTurn[] {
  const turns: PlannedTurn[] = []
  let question: Message[] = [user(`question ${name}`)]
  for (const [step, count] of steps.entries()) {
    const made = Array.from({ length: count }, (_, call) => `call_${name}_${step}_${call}`)
    turns.push({ messages: [...question, calls(...made)], status: 'done' })
    question = made.map(result)
  }
  if (ending === 'abandoned')
    return turns.length > 0 ? turns : [{ messages: question, status: 'interrupted' }]
  const broken: PlannedTurn = { messages: [...question, assistant('I was about')], status: 'interrupted' }
  const brokenCall: PlannedTurn = { messages: [...question, calls('never')], status: 'interrupted' }
  if (ending === 'interrupted') return [...turns, steps.length % 2 ? broken : brokenCall]
  const answered: PlannedTurn = { messages: [...question, assistant(`answer ${name}`)], status: 'done' }
  return ending === 'retried' && steps.length > 0 ? [...turns, broken, answered] : [...turns, answered]
}

/** Number the turns of two tabs as they interleave: `picks` says whose turn is next. */
function interleave(plans: readonly Plan[], picks: readonly boolean[]): HistoryTurn[] {
  const tabs = [0, 1].map((tab) =>
    plans.flatMap((each, at) =>
      each.tab === tab ? [{ name: String(at), turns: plannedTurns(each, String(at)) }] : [],
    ),
  )
  const numbered: HistoryTurn[] = []
  const exchanges = new Map<string, number>()
  for (let at = 0; tabs.some((tab) => tab.length > 0); at++) {
    const preferred = tabs[picks[at % Math.max(1, picks.length)] ? 1 : 0]!
    const tab = preferred.length > 0 ? preferred : tabs.find((other) => other.length > 0)!
    const current = tab[0]!
    const turn = numbered.length + 1
    if (!exchanges.has(current.name)) exchanges.set(current.name, turn)
    const next = current.turns.shift()
    if (next)
      numbered.push({ ...aTurn(turn, exchanges.get(current.name)!, next.messages), status: next.status })
    if (current.turns.length === 0) tab.shift()
  }
  return numbered
}

/** A request to a session of two tabs: a new question, or the results that one of its exchanges waits for. */
export function generatedRequest(mostExchanges = 12, mostSteps = 6, mostCalls = 30): Arbitrary<Request> {
  return record({
    plans: array(plan(mostSteps, mostCalls), { maxLength: mostExchanges }),
    running: option(array(integer({ min: 1, max: mostCalls }), { minLength: 1, maxLength: mostSteps })),
    picks: array(boolean(), { minLength: 1, maxLength: 40 }),
    pinned: boolean(),
    place: nat(),
  }).map(({ plans, running, picks, pinned, place }) => {
    const system = held(pinned ? [{ role: 'system', content: 'Be kind.' }] : [])
    if (!running)
      return { history: aHistory(interleave(plans, picks), { system }), question: held([user('now?')]) }
    const at = place % (plans.length + 1)
    const open: Plan = { steps: running, ending: 'abandoned', tab: 0 }
    const turns = interleave(plans.toSpliced(at, 0, open), picks)
    const mine = turns.findLast((turn) =>
      turn.messages.some(({ message }) => message.content === `question ${at}`),
    )!
    const newest = turns.findLast((turn) => turn.exchange === mine.exchange)!
    const waiting = newest.messages.at(-1)!.message.tool_calls as { id: string }[]
    return {
      history: aHistory(turns, { system }),
      question: held(waiting.map(({ id }) => result(id))),
      exchange: mine.exchange,
    }
  })
}
