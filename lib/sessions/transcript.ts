import { isPinned, type Message } from '../model/message.js'
import type { Format } from '../wire/format.js'

/** What the transcript needs to know of a provider's messages. */
export type CallReader = Pick<Format, 'calls' | 'answers'>

/** One turn of a transcript. */
export interface TranscriptTurn {
  readonly question: Message[]
  readonly answer: Message[]
}

export interface Transcript {
  /** Leading system and developer messages: they are pinned. */
  readonly system: readonly Message[]
  readonly turns: readonly TranscriptTurn[]
}

/**
 * A conversation cut into turns: each user's message opens one, and whatever follows it (answers, tool calls and
 * their results) is its answer. What stands before the first user's message is a turn without a question: a greeting;
 * or, where it is tool results, a turn that asks by them.
 */
export function readTranscript(messages: readonly Message[], { answers }: CallReader): Transcript {
  const system = messages.slice(0, leadingSystem(messages))
  const turns: TranscriptTurn[] = []
  for (const message of messages.slice(system.length)) {
    const bringsResults = answers(message).length > 0
    const last = turns.at(-1)
    if (message.role === 'user' && !bringsResults) turns.push({ question: [message], answer: [] })
    else if (last === undefined) turns.push(bringsResults ? asking(message) : saying(message))
    else if (bringsResults && turns.length === 1 && isResults(last, answers)) last.question.push(message)
    else last.answer.push(message)
  }
  if (turns.length === 0 && system.length > 0) turns.push({ question: [], answer: [] })
  return { system, turns }
}

const asking = (message: Message): TranscriptTurn => ({ question: [message], answer: [] })
const saying = (message: Message): TranscriptTurn => ({ question: [], answer: [message] })

const isResults = ({ question, answer }: TranscriptTurn, answers: CallReader['answers']): boolean =>
  answer.length === 0 && question.length > 0 && question.every((message) => answers(message).length > 0)

function leadingSystem(messages: readonly Message[]): number {
  const first = messages.findIndex((message) => !isPinned(message))
  return first === -1 ? messages.length : first
}

/** Ids of the calls that a turn's answer makes and does not answer itself. */
export function openCalls({ answer }: TranscriptTurn, { calls, answers }: CallReader): string[] {
  const answered = new Set(answer.flatMap((message) => answers(message)))
  return answer.flatMap((message) => calls(message)).filter((id) => !answered.has(id))
}

/** The first result in a turn's answer whose call the turn does not make before it. */
export function strayResult({ answer }: TranscriptTurn, { calls, answers }: CallReader): string | undefined {
  const made = new Set<string>()
  for (const message of answer) {
    const stray = answers(message).find((id) => !made.has(id))
    if (stray !== undefined) return stray
    for (const id of calls(message)) made.add(id)
  }
  return undefined
}
