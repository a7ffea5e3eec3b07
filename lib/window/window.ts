import type { History, HistoryTurn } from '../model/history.js'
import { countMessages } from '../model/history.js'
import type { HistoryMessage, Message } from '../model/message.js'
import { chunkEdge, longestStride } from './chunk.js'
import { findBreaks, readSteps, withoutDoubt, withoutRepeated, type Pairs, type Step } from './pairs.js'

export type { Pairs } from './pairs.js'

/** How the front edge moves: with every turn, or rarely and in steps, so that a provider's prompt cache keeps hitting. */
export type Trim = 'sliding' | 'chunked'

export interface WindowRequest {
  readonly history: History
  readonly question: readonly HistoryMessage[]
  /** The running exchange: the one whose tool calls the question answers. */
  readonly exchange?: number
  /** Messages of history wanted; the pinned ones are not counted. */
  readonly limit: number
  /** Tokens for the history, the pinned messages included. Messages that nobody counted are estimated. */
  readonly budget?: number
  /** Default `sliding`. */
  readonly trim?: Trim
  readonly pairs: Pairs
}

/** What is sent, and why it looks as it does. */
export interface Window {
  readonly system: readonly Message[]
  /** The history, then the question. */
  readonly messages: readonly Message[]
  readonly history: readonly Message[]
  /** Messages put before the question, the pinned ones included. */
  readonly injected: number
  /** Messages of the history that was read which stayed out. */
  readonly dropped: number
  /** Tokens of the pinned messages and the history, where a budget was given. */
  readonly tokens?: number
  readonly trimmedBy?: 'messages' | 'tokens'
  readonly repaired: readonly string[]
  /** Calls of the running exchange that neither history nor question answers: the request cannot be sent. */
  readonly unanswered: readonly string[]
  /** Results in the question whose call is not in the running exchange: the request cannot be sent. */
  readonly orphaned: readonly string[]
  /** What must be sent does not fit the budget: the request cannot be sent. */
  readonly overflow?: { readonly needed: number; readonly budget: number }
}

/** An exchange, or a step of one: what stays or falls out whole. */
interface Block {
  /** The turn it began with. */
  readonly number: number
  readonly messages: readonly HistoryMessage[]
  /** How many messages are stored of it. What a repair leaves out takes its place in the limit all the same, so that a window does not depend on how far back was read. */
  readonly stored: number
  readonly repaired: readonly string[]
}

interface Room {
  readonly messages: number
  readonly tokens: number
}

interface Fit {
  /** Oldest first. */
  readonly kept: readonly Block[]
  readonly trimmedBy?: 'messages' | 'tokens'
}

/** The running exchange: what must be sent, and the steps between that may fall out. */
interface Running {
  readonly opening: readonly HistoryMessage[]
  readonly between: readonly Block[]
  readonly newest: readonly HistoryMessage[]
  /** The turn of the newest step. */
  readonly newestTurn: number
  /** Calls of the newest step that the question is to answer. */
  readonly waiting: Iterable<string>
  readonly stored: number
  /** The history holds it without its middle. */
  readonly cut: boolean
  readonly repaired: readonly string[]
}

/** Turns as a provider accepts them, and what was changed for it. */
interface Settled {
  readonly turns: readonly HistoryTurn[]
  readonly repaired: readonly string[]
}

type Exchanges = ReadonlyMap<number, readonly HistoryTurn[]>

/** Cut the window for a question: whole exchanges from the newest back, the running one first, nothing that a provider would refuse. */
export function cutWindow(request: WindowRequest): Window {
  const { history, question, pairs } = request
  const exchanges = byExchange(history.turns)
  const running = readRunning(request, exchanges)
  const room = roomBeside(request, running)
  const inside = fitSteps(request, running, room)
  const others = fitOthers(request, exchanges, running, room)
  const sent = [...bare(others.kept), ...running.opening, ...bare(inside.kept), ...running.newest]
  const trimmedBy = inside.trimmedBy ?? others.trimmedBy ?? (history.from > 0 ? 'messages' : undefined)
  return {
    system: history.system.map(toMessage),
    messages: [...sent, ...question].map(toMessage),
    history: sent.map(toMessage),
    injected: history.system.length + sent.length,
    dropped: countMessages(history.turns) - sent.length,
    ...(trimmedBy && { trimmedBy }),
    repaired: [...others.kept.flatMap((block) => block.repaired), ...running.repaired],
    ...findBreaks(question, pairs, running.waiting),
    ...(request.budget !== undefined && weigh(request.budget, room, [...history.system, ...sent])),
  }
}

function weigh(
  budget: number,
  room: Room,
  sent: readonly HistoryMessage[],
): Pick<Window, 'tokens' | 'overflow'> {
  const tokens = sumTokens(sent)
  return room.tokens < 0 ? { tokens, overflow: { needed: budget - room.tokens, budget } } : { tokens }
}

const toMessage = (held: HistoryMessage): Message => held.message

const bare = (blocks: readonly Block[]): HistoryMessage[] => blocks.flatMap((block) => block.messages)

function byExchange(turns: readonly HistoryTurn[]): Exchanges {
  const exchanges = new Map<number, HistoryTurn[]>()
  for (const turn of turns) {
    const known = exchanges.get(turn.exchange)
    if (known) known.push(turn)
    else exchanges.set(turn.exchange, [turn])
  }
  return exchanges
}

function readRunning(request: WindowRequest, exchanges: Exchanges): Running {
  const { exchange = Infinity, history, question, pairs } = request
  const stored = exchanges.get(exchange) ?? []
  const { turns, repaired } = settle(stored, question, pairs)
  const all = readSteps(turns, pairs)
  const { opening, steps } = exchange < history.from ? withoutDoubt(all, pairs) : all
  const newest = steps.at(-1)
  const read = opening.length + steps.reduce((sum, step) => sum + step.messages.length, 0)
  return {
    opening,
    between: steps.slice(0, -1).map(stepBlock),
    newest: newest?.messages ?? [],
    newestTurn: newest?.turn ?? 0,
    waiting: newest?.waiting ?? [],
    stored: countMessages(stored),
    cut: read < countMessages(turns),
    repaired,
  }
}

const stepBlock = ({ turn, messages }: Step): Block => ({
  number: turn,
  messages,
  stored: messages.length,
  repaired: [],
})

/** Repeated results are left out, interrupted answers closed off. `follows` is what comes after the last turn. */
function settle(turns: readonly HistoryTurn[], follows: readonly HistoryMessage[], pairs: Pairs): Settled {
  const kept = withoutRepeated(turns, follows, pairs)
  if (kept === turns && turns.every(({ status }) => status === 'done')) return { turns, repaired: [] }
  const repaired = (kept.length < turns.length ? turns : [])
    .filter((turn) => !kept.includes(turn))
    .map(({ turn }) => `left out turn ${turn}: its tool results are given again`)
  const closed = kept.map((turn, index) => {
    if (turn.status !== 'interrupted') return turn
    const closedOff = closeTurnOff(turn, kept[index + 1]?.messages ?? follows, pairs)
    if (closedOff !== turn) repaired.push(`closed off the interrupted answer of turn ${turn.turn}`)
    return closedOff
  })
  return { turns: closed, repaired }
}

/** An interrupted turn with its answer, the assistant's messages at its end, closed off. Calls that were answered all the same stay. */
function closeTurnOff(turn: HistoryTurn, follows: readonly HistoryMessage[], pairs: Pairs): HistoryTurn {
  const answered = new Set(follows.flatMap(({ message }) => pairs.answers(message)))
  const start = turn.messages.findLastIndex(({ message }) => message.role !== 'assistant') + 1
  const messages = turn.messages.flatMap((held, index) => {
    const calls = pairs.calls(held.message)
    if (index < start || (calls.length > 0 && calls.every((id) => answered.has(id)))) return [held]
    const message = pairs.closeOff(held.message)
    if (!message) return []
    return [message === held.message ? held : { ...held, message }]
  })
  const same =
    messages.length === turn.messages.length && messages.every((held, at) => held === turn.messages[at])
  return same ? turn : { ...turn, messages }
}

/** What limit and budget leave beside that which must be sent; negative where it does not fit. */
function roomBeside({ budget, history, limit }: WindowRequest, { opening, newest }: Running): Room {
  const messages = limit - opening.length - newest.length
  if (budget === undefined) return { messages, tokens: Infinity }
  return { messages, tokens: budget - sumTokens([...history.system, ...opening, ...newest]) }
}

/** The steps of the running exchange that stay between its opening and its newest step. */
function fitSteps(request: WindowRequest, { between, newestTurn, cut }: Running, room: Room): Fit {
  return fitBlocks(request, between.toReversed(), room, { cut, end: newestTurn })
}

/** The other exchanges that stay. Those that began after the running one would part its calls from their results, and stay out. */
function fitOthers(request: WindowRequest, exchanges: Exchanges, running: Running, room: Room): Fit {
  const { exchange = Infinity, history, limit } = request
  const whole = [...exchanges.keys()].filter((number) => number >= history.from)
  const older = whole.filter((number) => number < exchange)
  const later = whole.filter((number) => number > exchange)
  const taken = later.reduce((sum, number) => sum + countMessages(exchanges.get(number)!), running.stored)
  const tokens = room.tokens === Infinity ? Infinity : room.tokens - sumTokens(bare(running.between))
  const end = request.exchange ?? Math.max(0, ...history.turns.slice(-1).map(({ turn }) => turn)) + 1
  const blocks = readBlocks(request.pairs, exchanges, older)
  return fitBlocks(request, blocks, { messages: limit - taken, tokens }, { cut: history.from > 0, end })
}

/** The exchanges as blocks, from the newest back, each read only when it is asked for. */
function* readBlocks(pairs: Pairs, exchanges: Exchanges, numbers: readonly number[]): Generator<Block> {
  for (let at = numbers.length - 1; at >= 0; at--)
    yield readBlock(pairs, numbers[at]!, exchanges.get(numbers[at]!)!)
}

function readBlock(pairs: Pairs, number: number, stored: readonly HistoryTurn[]): Block {
  const { turns, repaired } = settle(stored, [], pairs)
  const messages = messagesOf(turns)
  const { unanswered, orphaned } = findBreaks(messages, pairs)
  if (unanswered.length === 0 && orphaned.length === 0)
    return { number, stored: countMessages(stored), messages, repaired }
  const left = [`left out exchange ${number}: calls without results`]
  return { number, stored: countMessages(stored), messages: [], repaired: left }
}

/** Most exchanges are one turn: its own array is not copied. */
const messagesOf = (turns: readonly HistoryTurn[]): readonly HistoryMessage[] =>
  turns.length === 1 ? turns[0]!.messages : turns.flatMap((turn) => turn.messages)

/** The blocks that fit, from the newest back until the first that does not. `cut`: older ones exist that were not read. */
function fitBlocks(
  { trim, limit }: WindowRequest,
  newestFirst: Iterable<Block>,
  room: Room,
  { cut, end }: { cut: boolean; end: number },
): Fit {
  const { kept, trimmedBy = cut ? 'messages' : undefined } = takeBlocks(newestFirst, room)
  if (!trimmedBy) return { kept }
  if (trim !== 'chunked') return { kept, trimmedBy }
  const numbers = kept.map((block) => block.number)
  return { kept: kept.slice(chunkEdge(numbers, end, longestStride(limit))), trimmedBy }
}

function takeBlocks(newestFirst: Iterable<Block>, room: Room): Fit {
  const taken: Block[] = []
  let { messages, tokens } = room
  for (const block of newestFirst) {
    messages -= block.stored
    tokens -= tokens === Infinity ? 0 : sumTokens(block.messages)
    if (messages < 0) return { kept: taken.toReversed(), trimmedBy: 'messages' }
    if (tokens < 0) return { kept: taken.toReversed(), trimmedBy: 'tokens' }
    taken.push(block)
  }
  return { kept: taken.toReversed() }
}

/** Tokens of messages; those that nobody counted are estimated. */
export const sumTokens = (messages: readonly HistoryMessage[]): number =>
  messages.reduce((sum, { message, tokens = roughTokens(message) }) => sum + tokens, 0)

/** For a message that nobody counted: its JSON text, where three ASCII characters make a token and any other makes one. */
export function roughTokens(value: Message | readonly unknown[]): number {
  const text = JSON.stringify(value)
  const other = Buffer.byteLength(text) - text.length
  return Math.ceil(text.length / 3 + other / 2)
}
