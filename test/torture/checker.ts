import {
  grouped,
  type Attempt,
  type Change,
  type Prompt,
  type SessionRecord,
  type SessionState,
  type StoredTurn,
} from './record.js'

/** How long a turn may stay open before others may take it for interrupted, in microseconds: the first lease. */
const leaseMicros = 10_000_000

/** What is wrong with a session's record, one sentence each, beginning with the kind of the fault. */
export function faultsOf(record: SessionRecord): string[] {
  const known = { ...record, state: record.state ?? nothing }
  const faults = [
    ...numberFaults(known),
    ...originFaults(known),
    ...questionFaults(known),
    ...acknowledgementFaults(known),
    ...repetitionFaults(known),
    ...orderFaults(known),
    ...changeFaults(known),
    ...listingFaults(known),
    ...known.prompts.filter(({ between }) => !between).flatMap((prompt) => promptFaults(known, prompt)),
  ]
  return faults.map((fault) => `${fault} [${record.session}]`)
}

const nothing: SessionState = {
  limit: 20,
  turnCount: 0,
  messageCount: 0,
  clearedAt: 0,
  isActive: true,
  turns: [],
}

type Known = SessionRecord & { readonly state: SessionState }

/** 1, 2, 3 …, each once; a number is free only where a turn was discarded. */
function numberFaults({ state, attempts, changes }: Known): string[] {
  const numbers = state.turns.map(({ turn }) => turn)
  const twice = numbers.filter((turn, index) => numbers.indexOf(turn) !== index)
  const beyond = numbers.filter((turn) => turn < 1 || turn > state.turnCount)
  const discarding = attempts.filter(({ outcome }) => outcome === 'discarded')
  const discarded = new Set(discarding.map(({ turn }) => turn))
  const present = new Set(numbers)
  const free = range(1, state.turnCount).filter((turn) => !present.has(turn) && !discarded.has(turn))
  const perhaps = attempts.filter(({ discards, outcome }) => discards && outcome === 'unknown').length
  return [
    ...twice.map((turn) => `twice: number ${turn} is used twice`),
    ...beyond.map((turn) => `number: ${turn} was never assigned, the last one is ${state.turnCount}`),
    ...(free.length > perhaps ? [`gap: numbers ${free.join(', ')} are missing`] : []),
    ...discarding
      .filter((attempt) => present.has(attempt.turn!) && !changes.some((change) => hasTaken(change, attempt)))
      .map(({ turn }) => `resurrected: turn ${turn} was discarded`),
  ]
}

/** The turn may have left with its session or its history before it was discarded: then it is as if it had not been asked. */
const hasTaken = (change: Change, { sentAt, endedAt }: Attempt): boolean =>
  change.sentAt < endedAt && (change.kind === 'delete' || endOf(change) > sentAt)

/** Whatever is stored was asked in this session, and answered so by the provider for this very turn. */
function originFaults({ state, attempts, prompts }: Known): string[] {
  const questions = new Set(attempts.map(({ question }) => question))
  return state.turns.flatMap(({ turn, status, question, answer }) => {
    const faults: string[] = []
    if (question.length !== 1 || question[0]![0] !== 'user' || !questions.has(question[0]![1]))
      faults.push(`foreign: turn ${turn} asks ${JSON.stringify(question)}`)
    const given = prompts.filter((prompt) => prompt.turn === turn).map((prompt) => prompt.answer)
    const [said] = answer
    if (
      status === 'done' &&
      (!said || answer.length > 1 || said[0] !== 'assistant' || !given.includes(said[1]))
    )
      faults.push(`mixed: turn ${turn} is done with ${JSON.stringify(answer)}`)
    if (status !== 'done' && said && !given.some((text) => text.startsWith(said[1])))
      faults.push(`mixed: turn ${turn} broke off with ${JSON.stringify(answer)}`)
    if (status === 'failed' && said) faults.push(`dishonest: turn ${turn} failed and has an answer`)
    return faults
  })
}

/** What reached the provider had been stored before, as the question of its turn. */
function questionFaults({ state, prompts }: Known): string[] {
  const questions = new Map(state.turns.map(({ turn, question }) => [turn, question[0]?.[1]]))
  return prompts
    .filter(({ between, turn, messages }) => !between && questions.get(turn) !== messages.at(-1)?.[1])
    .map(({ turn }) => `unstored: the provider was asked for turn ${turn}, whose question is not there`)
}

const acknowledged = (attempts: readonly Attempt[]): Attempt[] =>
  attempts.filter(({ outcome }) => outcome === 'acknowledged')

/** An acknowledged turn is there, done, with exactly these words. */
function acknowledgementFaults({ state, attempts, changes }: Known): string[] {
  if (!state.isActive) return []
  const turns = new Map(state.turns.map((turn) => [turn.turn, turn]))
  return acknowledged(attempts).flatMap(({ turn: number, question, answer, sentAt }) => {
    const name = `turn ${number} (${question})`
    if (number !== undefined && number <= state.clearedAt) {
      const isCleared = changes.some((change) => change.kind === 'clear' && endOf(change) > sentAt)
      return isCleared ? [] : [`lost: ${name} was acknowledged after the last clear and is cleared`]
    }
    const turn = turns.get(number ?? 0)
    if (!turn) return [`lost: ${name} was acknowledged and is not there`]
    if (turn.status !== 'done') return [`lost: ${name} was acknowledged and is ${turn.status}`]
    const isSame = turn.question[0]?.[1] === question && turn.answer[0]?.[1] === answer
    return isSame ? [] : [`changed: ${name} was acknowledged with ${answer} and is ${JSON.stringify(turn)}`]
  })
}

const endOf = ({ outcome, endedAt }: { outcome: string; endedAt: number }): number =>
  outcome === 'unknown' ? Infinity : endedAt

/** No answer twice, a key once, and no more turns than questions were sent. */
function repetitionFaults({ state, attempts, prompts, changes }: Known): string[] {
  const faults: string[] = []
  const answers = state.turns.flatMap(({ status, answer }) =>
    status === 'done' ? answer.map(([, text]) => text) : [],
  )
  for (const text of repeated(answers)) faults.push(`twice: the answer ${text} is stored twice`)
  for (const id of repeated(prompts.map(({ attempt }) => attempt)))
    faults.push(`twice: the request ${id} reached the provider twice`)
  for (const same of grouped(attempts, ({ operation }) => operation).values()) {
    const { question, key } = same[0]!
    const turns = state.turns.filter((turn) => turn.question[0]?.[1] === question)
    if (turns.length > same.length)
      faults.push(`twice: ${question} was sent ${same.length} times and has ${turns.length} turns`)
    if (key === undefined) continue
    const done = turns.filter(({ status, turn }) => status === 'done' && turn > state.clearedAt)
    if (done.length > 1) faults.push(`twice: the key of ${question} has ${done.length} finished turns`)
    if (changes.some(({ kind }) => kind === 'clear')) continue
    const told = new Set(acknowledged(same).map(({ turn, answer }) => `${turn} ${answer}`))
    if (told.size > 1)
      faults.push(`twice: the key of ${question} was answered differently: ${[...told].join(', ')}`)
    faults.push(...chargeFaults(same, prompts))
  }
  return faults
}

/** Once a key's answer is known to its client, the provider is not asked again. */
function chargeFaults(same: readonly Attempt[], prompts: readonly Prompt[]): string[] {
  const asked = prompts.filter(({ between }) => !between)
  const answeredAt = Math.min(...acknowledged(same).map(({ endedAt }) => endedAt))
  return same
    .filter(({ id, sentAt }) => sentAt > answeredAt && asked.some(({ attempt }) => attempt === id))
    .map(({ question }) => `charged: ${question} was answered before and asked again`)
}

/** What was acknowledged before another was sent has the lower number. */
function orderFaults({ attempts }: Known): string[] {
  const firsts = attempts
    .filter(({ turn, replayed }) => turn !== undefined && !replayed)
    .sort((a, b) => a.sentAt - b.sentAt)
  const ends = acknowledged(firsts).sort((a, b) => a.endedAt - b.endedAt)
  const faults: string[] = []
  let highest = 0
  let next = 0
  for (const { turn, sentAt, question } of firsts) {
    for (; next < ends.length && ends[next]!.endedAt < sentAt; next++)
      highest = Math.max(highest, ends[next]!.turn!)
    if (turn! <= highest)
      faults.push(`order: ${question} is turn ${turn}, sent after turn ${highest} was acknowledged`)
  }
  return faults
}

/** What was cleared or deleted is gone, and nothing else is. */
function changeFaults({ state, attempts, prompts, changes }: Known): string[] {
  const faults: string[] = []
  const deletes = changes.filter(({ kind }) => kind === 'delete')
  if (!state.isActive && deletes.length === 0)
    faults.push('lost: the session is deleted and nobody deleted it')
  for (const change of changes) {
    if (change.outcome !== 'acknowledged') continue
    const before = acknowledged(attempts).filter(({ endedAt }) => endedAt < change.sentAt)
    if (change.kind === 'delete') {
      if (state.isActive) faults.push('resurrected: the deleted session is there')
      const late = attempts.filter(({ sentAt, id }) => sentAt > change.endedAt && reached(prompts, id))
      for (const { question } of late)
        faults.push(`resurrected: ${question} was asked in the deleted session`)
    } else {
      const back = before.filter(({ turn }) => turn! > state.clearedAt)
      for (const { turn } of back) faults.push(`resurrected: turn ${turn} was cleared and is listed`)
    }
  }
  return faults
}

/** Not while one database took the place of another: the new one may not have had the delete. */
const reached = (prompts: readonly Prompt[], id: string): boolean =>
  prompts.some(({ attempt, between }) => attempt === id && !between)

/** The routes list what the database holds, and the session counts it. */
function listingFaults({ state, listed }: Known): string[] {
  if (!state.isActive)
    return listed && listed.length > 0 ? ['resurrected: the deleted session is listed'] : []
  const visible = state.turns
    .filter(({ turn, status }) => turn > state.clearedAt && status !== 'superseded')
    .flatMap(({ question, answer }) => question.concat(answer))
  const faults: string[] = []
  if (state.messageCount !== visible.length)
    faults.push(`count: the session counts ${state.messageCount} messages and has ${visible.length}`)
  if (listed && JSON.stringify(listed) !== JSON.stringify(visible))
    faults.push(
      `listing: ${listed.length} messages are listed, ${visible.length} stored, or their order differs`,
    )
  return faults
}

/** Whole exchanges in order, all that was acknowledged before, nothing that has left. */
function promptFaults(record: Known, prompt: Prompt): string[] {
  const attempt = record.attempts.find(({ id }) => id === prompt.attempt)
  const name = `the prompt of turn ${prompt.turn}`
  if (!attempt) return [`foreign: ${name} belongs to no request of this session`]
  const last = prompt.messages.at(-1)
  const faults: string[] = []
  if (last?.[0] !== 'user' || last[1] !== attempt.question)
    faults.push(`prompt: ${name} does not end in its question`)
  const history = prompt.messages.slice(0, -1)
  const found = new Matching(record, prompt, attempt).run(history)
  if (typeof found === 'string') return [...faults, `${found}, in ${name}`]
  return [...faults, ...windowFaults(record, prompt, attempt, found).map((fault) => `${fault}, in ${name}`)]
}

/** Finds the turns that a prompt is made of. */
class Matching {
  #before: number

  constructor(
    private readonly record: Known,
    private readonly prompt: Prompt,
    private readonly attempt: Attempt,
  ) {
    this.#before = prompt.turn
  }

  /** The numbers of the turns, or what is wrong. From the newest back: of two that look alike it takes the one that excuses more. */
  run(history: Prompt['messages']): number[] | string {
    const found: number[] = []
    for (let place = history.length - 1; place >= 0; place--) {
      const [role, text] = history[place]!
      const said = role === 'assistant' ? text : undefined
      if (said !== undefined) place--
      const asked = history[place]
      if (asked?.[0] !== 'user') return `torn: an answer without its question (${text})`
      const turn = this.#turnOf(asked[1], said)
      if (typeof turn === 'string') return turn
      found.unshift(turn)
      this.#before = turn
    }
    return found
  }

  #turnOf(question: string, said: string | undefined): number | string {
    const asked = this.record.state.turns.filter((turn) => turn.question[0]?.[1] === question)
    if (asked.length === 0) return `foreign: no turn asks ${question}`
    const fitting = asked.filter((turn) =>
      said === undefined ? this.#mayBeLone(turn) : turn.answer[0]?.[1] === said,
    )
    if (fitting.length === 0)
      return said === undefined
        ? `torn: ${question} without its answer`
        : `mixed: ${question} answered by ${said}`
    const inOrder = fitting.filter(({ turn }) => turn < this.#before).sort((a, b) => b.turn - a.turn)
    const turn = inOrder.find((candidate) => !this.#hasLeft(candidate))
    if (turn) return turn.turn
    if (inOrder.length > 0) return `resurrected: ${question} had left the history`
    return `order: ${question} comes before turn ${this.#before}`
  }

  /** A question without its answer: its turn had been given up by then. */
  #mayBeLone(turn: StoredTurn): boolean {
    const asking = this.record.attempts.filter(({ question }) => question === turn.question[0]?.[1])
    const isAnswered = asking.some((each) => each.turn === turn.turn && wasToldBefore(each, this.attempt))
    if (isAnswered) return false
    if (turn.status === 'interrupted' || turn.status === 'superseded') return true
    return asking.some(({ sentAt }) => this.prompt.at - sentAt >= leaseMicros)
  }

  #hasLeft({ turn, status, question }: StoredTurn): boolean {
    const { attempts, changes } = this.record
    if (status === 'superseded') {
      const newer = attempts.filter((each) => each.question === question[0]?.[1] && (each.turn ?? 0) > turn)
      if (newer.some((each) => wasToldBefore(each, this.attempt))) return true
    }
    const told = attempts.filter((each) => each.turn === turn)
    return changes.some(
      (change) =>
        change.kind === 'clear' &&
        change.outcome === 'acknowledged' &&
        change.endedAt < this.attempt.sentAt &&
        told.some(({ outcome, endedAt }) => outcome === 'acknowledged' && endedAt < change.sentAt),
    )
  }
}

const wasToldBefore = ({ outcome, endedAt }: Attempt, { sentAt }: Attempt): boolean =>
  outcome !== 'unknown' && endedAt < sentAt

/** Nothing that was acknowledged before is missing, but for the front that the limit cuts off. */
function windowFaults(
  { attempts, changes, state }: Known,
  prompt: Prompt,
  asking: Attempt,
  found: readonly number[],
): string[] {
  const size = prompt.messages.length - 1
  const oldest = found[0] ?? Infinity
  const present = new Set(found)
  const missing = acknowledged(attempts).filter(
    ({ turn, endedAt, sentAt }) =>
      endedAt < asking.sentAt &&
      !present.has(turn!) &&
      !changes.some((change) => change.sentAt < asking.endedAt && endOf(change) > sentAt),
  )
  const inside = missing.filter(({ turn }) => turn! > oldest)
  const faults = inside.map(({ turn }) => `missing: turn ${turn} was acknowledged before`)
  // A begin that was repeated may have read turns that came after it, and left those out again.
  const later = attempts.filter(
    ({ turn = Infinity, sentAt, endedAt }) =>
      turn > prompt.turn && sentAt < prompt.at && endedAt > asking.sentAt,
  ).length
  if (missing.length > inside.length && size + 2 * (later + 1) <= state.limit)
    faults.push(
      `missing: ${size} messages of at most ${state.limit}, and turns before ${oldest} are left out`,
    )
  if (size > state.limit) faults.push(`long: ${size} messages of at most ${state.limit}`)
  return faults
}

function repeated(texts: readonly string[]): string[] {
  const seen = new Set<string>()
  return texts.filter((text) => seen.size === seen.add(text).size)
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)
