// What a window costs, and what each policy sends. Needs the recorded conversations beside the repository.
import { join } from 'node:path'

import type { History, HistoryTurn } from '../lib/model/history.js'
import type { HistoryMessage, Message } from '../lib/model/message.js'
import { budgetOf } from '../lib/window/budget.js'
import { limitsOf } from '../lib/window/limits.js'
import { findResent } from '../lib/window/resent.js'
import { ThreadTokenizer } from '../lib/window/thread-tokenizer.js'
import { LocalTokenizer, type Tokenizer } from '../lib/window/tokenizer.js'
import { TokenCounter } from '../lib/window/tokens.js'
import { cutWindow, type Trim, type Window } from '../lib/window/window.js'
import {
  aHistory,
  aTurn,
  pairs,
  recordedConversations,
  requestsOf,
  user,
} from '../test/window/conversation.js'

const question: readonly HistoryMessage[] = [{ message: user('And what does that cost?'), tokens: 10 }]

const chat = (messages: number): History =>
  aHistory(
    Array.from({ length: messages / 2 }, (_, at) =>
      aTurn(at + 1, at + 1, [
        user(`Question ${at}: ${'words '.repeat(40)}`),
        { role: 'assistant', content: 'An answer. '.repeat(40) },
      ]),
    ),
  )

/** The median of many runs, in microseconds. */
function median(times: number, run: () => unknown): number {
  const took = Array.from({ length: times }, () => {
    const start = process.hrtime.bigint()
    run()
    return Number(process.hrtime.bigint() - start) / 1000
  })
  return took.toSorted((a, b) => a - b)[times >> 1]!
}

function printWindows(): void {
  console.log('A window from a cached history (median)')
  for (const [stored, limit] of [
    [20, 20],
    [200, 20],
    [2000, 2000],
  ] as const) {
    const history = chat(stored)
    for (const [name, more] of [
      ['messages', {}],
      ['messages and tokens', { budget: 1_000_000 }],
    ] as const) {
      const took = median(2000, () => cutWindow({ history, question, limit, pairs, ...more }))
      console.log(
        `  ${String(limit).padStart(5)} of ${String(stored).padStart(5)} by ${name.padEnd(20)} ${took.toFixed(1).padStart(8)} µs`,
      )
    }
  }
  const history = chat(200)
  const sent = [
    ...history.turns.flatMap(({ messages }) => messages.map(({ message }) => message)),
    user('new'),
  ]
  console.log(
    `  a resent history of 200 recognised          ${median(500, () => findResent(history, sent))
      .toFixed(1)
      .padStart(8)} µs`,
  )
}

interface Timed<T> {
  readonly result: T
  readonly took: number
  /** Processor time: what it takes on a machine that does nothing else. */
  readonly cpu: number
  readonly held: number
}

/** How long a piece of work takes, and the longest time that the event loop stood still meanwhile. */
async function timed<T>(work: () => Promise<T>): Promise<Timed<T>> {
  let held = 0
  let last = performance.now()
  let counting = true
  const turn = (): void => {
    held = Math.max(held, performance.now() - last)
    last = performance.now()
    // Not at once: it would take from the counting thread what it measures.
    if (counting) setTimeout(turn, 1)
  }
  setTimeout(turn, 1)
  const start = performance.now()
  const cpu = process.cpuUsage()
  const result = await work()
  const { user, system } = process.cpuUsage(cpu)
  counting = false
  held = Math.max(held, performance.now() - last)
  return { result, took: performance.now() - start, cpu: (user + system) / 1000, held }
}

const hostile = {
  '100 KB of one letter': 'a'.repeat(102_400),
  '96,000 random Chinese characters': Array.from({ length: 96_000 }, () =>
    String.fromCharCode(0x4e_00 + Math.floor(Math.random() * 20_000)),
  ).join(''),
  '200,000 spaces': ' '.repeat(200_000),
  '40,000 emoji': '😀'.repeat(40_000),
  '100 KB of English': 'The quick brown fox jumps over the lazy dog, again and again. '.repeat(1700),
}

/** The package counts in a thread of its own; where there is none (bundled hosts) in the host's. */
async function printCounts(place: string, tokenizer: Tokenizer): Promise<void> {
  const loading = await timed(() => tokenizer.load('o200k_base'))
  console.log(
    `\nCounting tokens in ${place} (o200k_base; loading took ${loading.took.toFixed(0)} ms, once, event loop held ${loading.held.toFixed(1)} ms)`,
  )
  const counter = new TokenCounter(tokenizer, 'o200k_base')
  for (const [name, text] of Object.entries(hostile)) {
    const { result, took, cpu, held } = await timed(() => counter.text(text))
    console.log(
      `  ${name.padEnd(34)} ${String(result).padStart(7)} tokens ${took.toFixed(0).padStart(5)} ms (cpu ${cpu.toFixed(0)} ms), event loop held ${held.toFixed(1)} ms`,
    )
  }
  const message = user('How warm is it in Rome today, and what should I wear tomorrow?')
  const { took, cpu } = await timed(async () => {
    for (let count = 0; count < 2000; count++) await counter.message(message)
  })
  console.log(
    `  a short question                   ${(took / 2).toFixed(0)} us, cpu of all threads ${(cpu / 2).toFixed(0)} us`,
  )
}

/** A session of about two hundred messages, made of recorded conversations one after the other, with its counts. */
async function recordedSession(counter: TokenCounter, length: number): Promise<History> {
  const turns: HistoryTurn[] = []
  let system: readonly Message[] = []
  for (const { messages } of recordedConversations()) {
    const { history } = requestsOf([...messages, user('end'), { role: 'assistant', content: 'end' }]).at(-1)!
    system = history.system.map(({ message }) => message)
    const before = turns.length
    for (const turn of history.turns)
      turns.push({ ...turn, turn: turn.turn + before, exchange: turn.exchange + before })
    // Some end in a tool's result that nobody answered.
    while (turns.at(-1)?.messages.some(({ message }) => pairs.calls(message).length > 0)) turns.pop()
    if (turns.reduce((sum, turn) => sum + turn.messages.length, 0) >= length) break
  }
  const counted: HistoryTurn[] = []
  for (const turn of turns) counted.push({ ...turn, messages: await counter.counted(bare(turn.messages)) })
  const pinned = await counter.counted(system.map((message) => ({ message })))
  return aHistory(counted, { system: pinned })
}

const bare = (messages: readonly HistoryMessage[]): HistoryMessage[] =>
  messages.map(({ message }) => ({ message }))

interface Policy {
  readonly limit: number
  readonly trim: Trim
  readonly model?: string
}

const policies: readonly Policy[] = [
  { limit: 20, trim: 'sliding' },
  { limit: 20, trim: 'chunked' },
  { limit: 50, trim: 'sliding' },
  { limit: 50, trim: 'chunked' },
  { limit: 1000, trim: 'sliding', model: 'gpt-3.5-turbo-0613' },
  { limit: 1000, trim: 'sliding', model: 'gpt-4' },
  { limit: 1000, trim: 'chunked', model: 'gpt-4' },
  { limit: 1000, trim: 'sliding', model: 'gpt-3.5-turbo' },
  { limit: 1000, trim: 'sliding', model: 'gpt-4o' },
  { limit: 1000, trim: 'sliding', model: 'claude-sonnet-4-5' },
]

function apply(
  { limit, trim, model }: Policy,
  history: History,
  asked: readonly HistoryMessage[],
  exchange?: number,
): Window {
  const limits = model ? limitsOf(model) : undefined
  const spent = asked.reduce((sum, { tokens = 0 }) => sum + tokens, 0)
  const budget = limits
    ? budgetOf({ limits, outputTokens: 1000, tools: 0, question: spent }).tokens
    : 10_000_000
  return cutWindow({
    history,
    question: asked,
    limit,
    trim,
    pairs,
    budget,
    ...(exchange !== undefined && { exchange }),
  })
}

/** How much of what is sent over a whole session repeats the beginning of the request before: what a provider's prompt cache can serve. */
function cachedShare(policy: Policy, { turns, system }: History): number {
  let sent = 0
  let repeated = 0
  let before: readonly HistoryMessage[] = []
  for (const [at, turn] of turns.entries()) {
    const asked = turn.messages.slice(0, -1)
    const joined = turn.exchange === turn.turn ? undefined : turn.exchange
    const window = apply(
      policy,
      { revision: '', system, turns: turns.slice(0, at), from: 0, reach: 0 },
      asked,
      joined,
    )
    if (window.overflow) continue
    const byMessage = new Map(
      [...system, ...turns.flatMap(({ messages }) => messages)].map((held) => [held.message, held]),
    )
    const prompt = [...window.system, ...window.messages].map((message) => byMessage.get(message)!)
    const common = prompt.findIndex((held, place) => held !== before[place])
    const tokens = (messages: readonly HistoryMessage[]): number =>
      messages.reduce((sum, held) => sum + held.tokens!, 0)
    sent += tokens(prompt)
    repeated += tokens(prompt.slice(0, common < 0 ? prompt.length : common))
    before = prompt
  }
  return sent === 0 ? 0 : repeated / sent
}

async function printPolicies(tokenizer: Tokenizer): Promise<void> {
  const sessions = new Map<string, History>()
  for (const encoding of ['o200k_base', 'cl100k_base'] as const)
    sessions.set(encoding, await recordedSession(new TokenCounter(tokenizer, encoding), 200))
  const count = sessions.get('o200k_base')!.turns.reduce((sum, turn) => sum + turn.messages.length, 0)
  console.log(
    `\nWhat is sent for a session of ${count} messages (recorded, with tool calls, one pinned message of its own)\n`,
  )
  console.log(
    '| Policy | Messages sent | Tokens sent | Left out | Trimmed by | Same beginning as the request before |',
  )
  console.log('| --- | ---: | ---: | ---: | --- | ---: |')
  for (const policy of policies) {
    const encoding = policy.model ? limitsOf(policy.model)!.encoding : 'o200k_base'
    printPolicy(policy, sessions.get(encoding)!)
  }
}

function printPolicy(policy: Policy, history: History): void {
  const window = apply(policy, history, question)
  const name = policy.model ? `${policy.model}, by tokens` : `last ${policy.limit} messages`
  const share = `${Math.round(100 * cachedShare(policy, history))} %`
  const cells = [
    `${name}, ${policy.trim}`,
    String(window.injected),
    window.overflow ? 'refused' : window.tokens!.toLocaleString('en'),
    String(window.dropped),
    window.trimmedBy ?? 'nothing',
    share,
  ]
  console.log(`| ${cells.join(' | ')} |`)
}

printWindows()
const thread = new ThreadTokenizer(join(import.meta.dirname, '../dist/lib/window/thread-program.js'))
await printCounts('a thread of its own', thread)
await printCounts("the host's thread", new LocalTokenizer())
await printPolicies(thread)
await thread.close()
