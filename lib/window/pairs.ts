import type { HistoryTurn } from '../model/history.js'
import type { HistoryMessage, Message } from '../model/message.js'

/** What a window must know of a format: which calls a message makes, which it answers, and how an interrupted one is closed off. */
export interface Pairs {
  calls(message: Message): readonly string[]
  answers(message: Message): readonly string[]
  closeOff(message: Message): Message | undefined
}

/** Call ids that break a prompt: calls whose results do not follow at once, and results without their call. */
export interface Breaks {
  readonly unanswered: readonly string[]
  readonly orphaned: readonly string[]
}

/** A message that calls tools, with all that follows until the next such message. */
export interface Step {
  readonly turn: number
  readonly messages: HistoryMessage[]
  /** Calls whose results did not come yet. */
  readonly waiting: Set<string>
}

/** An exchange apart: the messages that opened it, then its steps. */
export interface Steps {
  readonly opening: HistoryMessage[]
  readonly steps: Step[]
}

/** Where messages break the rule that the results of calls follow at once; `before` names calls that wait already. */
export function findBreaks(
  messages: readonly HistoryMessage[],
  pairs: Pairs,
  before: Iterable<string> = [],
): Breaks {
  const unanswered: string[] = []
  const orphaned: string[] = []
  const waiting = new Set(before)
  for (const { message } of messages) {
    const answers = pairs.answers(message)
    for (const id of answers) if (!waiting.delete(id)) orphaned.push(id)
    if (answers.length > 0) continue
    unanswered.push(...waiting)
    waiting.clear()
    for (const id of pairs.calls(message)) waiting.add(id)
  }
  unanswered.push(...waiting)
  return { unanswered, orphaned }
}

/**
 * Take an exchange apart. Results whose call is not there fall out, and so do steps whose results are
 * not there; only the newest step may still wait. Both happen where the exchange was cut in its middle.
 */
export function readSteps(turns: readonly HistoryTurn[], pairs: Pairs): Steps {
  const opening: HistoryMessage[] = []
  const steps: Step[] = []
  for (const { turn, messages } of turns) {
    for (const held of messages) {
      const answers = pairs.answers(held.message)
      if (answers.length > 0) takeAnswers(steps.at(-1), held, answers)
      else if (pairs.calls(held.message).length > 0)
        steps.push({ turn, messages: [held], waiting: new Set(pairs.calls(held.message)) })
      else (steps.at(-1)?.messages ?? opening).push(held)
    }
  }
  const newest = steps.at(-1)
  return { opening, steps: steps.filter((step) => step === newest || step.waiting.size === 0) }
}

/**
 * The steps of an exchange that may be cut in its middle. Where ids are used again in every step, results from
 * behind the cut look like those of the first step's calls: then it is left out.
 */
export function withoutDoubt({ opening, steps }: Steps, pairs: Pairs): Steps {
  const callsOf = (step: Step): readonly string[] => pairs.calls(step.messages[0]!.message)
  const [first, ...others] = steps
  const ids = new Set(first ? callsOf(first) : [])
  const again = others.some((step) => callsOf(step).some((id) => ids.has(id)))
  return { opening, steps: again ? others : steps }
}

function takeAnswers(step: Step | undefined, held: HistoryMessage, answers: readonly string[]): void {
  if (!step || !answers.every((id) => step.waiting.has(id))) return
  for (const id of answers) step.waiting.delete(id)
  step.messages.push(held)
}

/**
 * The turns of one exchange that count. When results are given a second time (the first answer broke off, or
 * another was wanted), the turns from their first giving on are left out, as the model never saw them.
 */
export function withoutRepeated(
  turns: readonly HistoryTurn[],
  question: readonly HistoryMessage[],
  pairs: Pairs,
): readonly HistoryTurn[] {
  // The opening turn holds the user's message: it stays.
  if (turns.length < 2) return turns
  const kept: HistoryTurn[] = []
  const answeredIn = new Map<string, number>()
  for (const turn of turns) {
    dropRepeated(turn.messages, kept, answeredIn, pairs)
    kept.push(turn)
  }
  dropRepeated(question, kept, answeredIn, pairs)
  return kept
}

function dropRepeated(
  messages: readonly HistoryMessage[],
  kept: HistoryTurn[],
  answeredIn: Map<string, number>,
  pairs: Pairs,
): void {
  for (const { message } of messages) {
    for (const id of pairs.answers(message)) {
      const place = answeredIn.get(id)
      if (place !== undefined && place > 0) kept.length = Math.min(kept.length, place)
    }
  }
  for (const [id, place] of answeredIn) if (place >= kept.length) answeredIn.delete(id)
  for (const { message } of messages) {
    for (const id of pairs.answers(message)) answeredIn.set(id, kept.length)
    // Some providers use the same ids again in every step.
    for (const id of pairs.calls(message)) answeredIn.delete(id)
  }
}
