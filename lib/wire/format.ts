import type { ErrorBody } from '../model/errors.js'
import type { JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { FinishedTurn } from '../model/turn.js'
import type { FramingName } from './framing.js'

/** What a request asks, read from its body. */
export interface Question {
  /** Leading system and developer messages, or the body's own system field as messages. */
  readonly system: readonly Message[]
  /** The other messages, at least one. */
  readonly messages: readonly Message[]
  readonly model?: string
  /** Whether the answer is asked for as a stream. */
  readonly stream: boolean
  /** Tokens that the request reserves for the answer. */
  readonly outputTokens?: number
  /** The tool definitions, which take room in the context. */
  readonly tools?: readonly unknown[]
}

/** What is to be sent: the pinned messages and everything after them. */
export interface Prompt {
  readonly system: readonly Message[]
  readonly messages: readonly Message[]
}

/** A stored part of a prompt, changed as little as makes it valid, and what was done. */
export interface Repaired extends Prompt {
  readonly repaired: readonly string[]
}

/** A stored message that another format wrote, as this one says it, and the kinds of content that have no place in it. */
export interface Adopted {
  readonly messages: readonly Message[]
  readonly lost: readonly string[]
}

/** One event of a stream: `data` as text, and the name that Server-Sent Events may carry. */
export interface StreamEvent {
  readonly event?: string
  readonly data: string
}

/** The answer as far as it was read. */
export interface Answer {
  readonly messages: readonly Message[]
  /** Ids of the tool calls that the answer waits for. */
  readonly calls: readonly string[]
  readonly model?: string
  readonly responseId?: string
  /** Seconds since 1970, as the provider says. */
  readonly responseTime?: number
  readonly finishReason?: string
  readonly usage?: JsonObject
  /** Choices that the provider gave; only the first is kept. */
  readonly choices?: number
}

/** What an event or a body was: `end` is the provider's last word, `error` its refusal. */
export type Reading = 'more' | 'end' | 'error'

/** Reads one answer. Malformed input is an `error`, never a throw. */
export interface AnswerReader {
  event(event: StreamEvent): Reading
  /** An event that came parsed, as the provider's SDK yields it. */
  chunk(chunk: JsonObject): Reading
  body(body: unknown): Reading
  /** What was said so far; nothing when nothing was. */
  answer(): Answer | undefined
}

/** A finished answer, written out again for a retry. */
export interface Replay {
  readonly contentType: string
  readonly body: string
}

/** A provider's wire shape. Pure: no clocks, no sockets, and no change to what it is given: the messages are those of every later prompt too. Only the files that implement it know the provider's field names. */
export interface Format {
  /** Stored with every turn. */
  readonly name: string
  /** How answers are cut; told by their content type and first byte when `undefined`. */
  readonly framing: FramingName | undefined
  /** The question in a parsed body, its control fields removed. Throws `InvalidRequest` that names the field and the repair. */
  read(body: JsonObject): Question
  /** The body with the prompt in place of its own messages; every other field as it was. */
  inject(body: JsonObject, prompt: Prompt): JsonObject
  reader(): AnswerReader
  /** Ids of the tool calls that a message makes. */
  calls(message: Message): readonly string[]
  /** Ids of the tool calls whose results a message brings. */
  answers(message: Message): readonly string[]
  /** A message of an interrupted answer, closed off so that the provider accepts it; nothing when nothing is left. */
  closeOff(message: Message): Message | undefined
  /** A message that another format wrote, as this one says it; `undefined` for one that may be this format's own. */
  adopt(message: Message): Adopted | undefined
  /** The stored part of a prompt without what the provider refuses: empty content, another provider's fields. Whole calls and results are the window's affair. */
  repair(stored: Prompt, model: string | undefined): Repaired
  /** How long the prompt was, by the provider's own count in its usage object, cached parts included. */
  promptTokens(usage: JsonObject): number | undefined
  /** The stored answer as the retry asks for it. Deep-equal, for the official client, to what was recorded. */
  replay(turn: FinishedTurn, stream: boolean): Replay
  /** An error as this format's streams tell it, in place of their terminal event: one whole event. */
  failure(error: ErrorBody): string
}
