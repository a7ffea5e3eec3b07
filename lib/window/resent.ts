import type { History } from '../model/history.js'
import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'

/** What a request's messages are to the stored history. */
export type Resent =
  /** All of them are new. */
  | { readonly status: 'new' }
  /** Those before `from` are the end of the stored history; from there on they are new. */
  | { readonly status: 'resent'; readonly from: number }
  /**
   * They follow the stored history up to `at` and part from it there: edited, or to be answered again.
   * `turn` holds the first stored message that the request does not go along with.
   */
  | { readonly status: 'diverged'; readonly at: number; readonly turn: number }

/**
 * Recognise a history that the client sends again: the request begins with a run that equals the end of the stored
 * history, and the run ends in an assistant's message, so that "hello" twice is two questions. Where older
 * messages than those given are stored, the request may begin with them.
 */
export function findResent(history: History, messages: readonly Message[]): Resent {
  if (!messages.some(({ role }) => role === 'assistant')) return { status: 'new' }
  const stored = history.turns.flatMap(({ turn, messages }) =>
    messages.map(({ message }) => ({ message, turn })),
  )
  const runs = findRuns(
    messages.map(canonical),
    stored.map(({ message }) => canonical(message)),
    history.from > 0,
  )
  const known = runs.filter(
    (run) => run.stored === stored.length && messages[run.sent - 1]?.role === 'assistant',
  )
  const resent = most(known, (run) => run.sent)
  if (resent) return { status: 'resent', from: resent.sent }
  const common = most(runs.filter(tells(messages, history.from)), (run) => run.length)
  return common ? partFrom(common, messages, stored) : { status: 'new' }
}

/** One question may happen to be asked twice: a run tells something if it holds an answer, or both begin with it. */
function tells(messages: readonly Message[], from: number): (run: Run) => boolean {
  let answers = 0
  const before = [0, ...messages.map(({ role }) => (role === 'assistant' ? ++answers : answers))]
  return ({ sent, stored, length }) =>
    length > 0 && (before[sent]! > before[sent - length]! || (from === 0 && stored === length))
}

/** A run of equal messages. `sent` and `stored` are where it ends in the request and in the history. */
interface Run {
  readonly length: number
  readonly sent: number
  readonly stored: number
}

const most = (runs: readonly Run[], measure: (run: Run) => number): Run | undefined =>
  runs.reduce<Run | undefined>((best, run) => (best && measure(best) >= measure(run) ? best : run), undefined)

/** Where all of a request is stored and more follows, its last question is to be answered again. */
function partFrom(
  { sent, stored: end }: Run,
  messages: readonly Message[],
  stored: readonly { turn: number }[],
): Resent {
  const again =
    sent === messages.length ? messages.findLastIndex(({ role }) => role === 'assistant') + 1 : sent
  const place = Math.min(end - (sent - again), stored.length - 1)
  return { status: 'diverged', at: again, turn: stored[place]!.turn }
}

/** Every run that begins with the request's first message, and, where older messages are stored, with the first that is given. */
function findRuns(sent: readonly string[], stored: readonly string[], older: boolean): Run[] {
  const begun = commonPrefixes(sent, stored).map((length, at) => ({
    length,
    sent: length,
    stored: at + length,
  }))
  if (!older) return begun
  const entered = commonPrefixes(stored, sent).map((length, at) => ({
    length,
    sent: at + length,
    stored: length,
  }))
  return [...begun, ...entered.slice(1).filter(({ length }) => length > 0)]
}

/** For every place in `text`, how much of the beginning of `pattern` stands there. The Z algorithm: linear, whatever repeats. */
function commonPrefixes(pattern: readonly string[], text: readonly string[]): number[] {
  const all: readonly (string | undefined)[] = [...pattern, undefined, ...text]
  const lengths = Array.from(all, () => 0)
  for (let at = 1, left = 0, right = 0; at < all.length; at++) {
    let length = at < right ? Math.min(right - at, lengths[at - left]!) : 0
    while (at + length < all.length && all[length] === all[at + length]) length++
    if (at + length > right) [left, right] = [at, at + length]
    lengths[at] = length
  }
  return lengths.slice(pattern.length + 1)
}

// Providers put these into an answer and clients do not send them back, or hang them on what they send.
const unsaid = new Set([
  'annotations',
  'audio',
  'cache_control',
  'id',
  'prompt_cache_breakpoint',
  'reasoning',
  'reasoning_content',
  'reasoning_details',
  'status',
])

const unsaidParts = new Set(['thinking', 'redacted_thinking'])

/** Equal for messages that say the same: key order, absent or null fields, and a text or its one part make no difference. */
export function canonical(message: Message): string {
  const { content, ...rest } = message
  const fields = Object.entries(rest).filter(([field]) => !unsaid.has(field))
  return sorted({ ...Object.fromEntries(fields), content: plainContent(content) })
}

function plainContent(content: unknown): unknown {
  if (content === '') return undefined
  if (!Array.isArray(content)) return content
  const parts = content.filter((part) => !isObject(part) || !unsaidParts.has(String(part.type)))
  const [only] = parts
  return parts.length === 1 && isTextPart(only) ? plainContent(only.text) : parts.map(plainPart)
}

function isTextPart(part: unknown): part is JsonObject {
  if (!isObject(part) || typeof part.text !== 'string') return false
  return part.type === 'text' || part.type === 'input_text' || part.type === 'output_text'
}

/** A part's own id stays: it names a tool call. */
const plainPart = (part: unknown): unknown =>
  isObject(part)
    ? { ...part, annotations: undefined, cache_control: undefined, prompt_cache_breakpoint: undefined }
    : part

const sorted = (value: unknown): string => JSON.stringify(value, sortKeys)

function sortKeys(_key: string, value: unknown): unknown {
  if (!isObject(value)) return value
  const said = Object.entries(value).filter(
    ([, field]) => field !== undefined && field !== null && !isEmpty(field),
  )
  return Object.fromEntries(said.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

const isEmpty = (value: unknown): boolean => Array.isArray(value) && value.length === 0
