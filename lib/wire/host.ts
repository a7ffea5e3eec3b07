import { InvalidRequest, Misconfigured } from '../model/errors.js'
import { isObject, parseJson, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import { aFunction, checkFields, oneOf, yesOrNo, type Rule } from '../model/rule.js'
import type { FinishedTurn } from '../model/turn.js'
import type {
  Answer,
  AnswerReader,
  Format,
  Prompt,
  Question,
  Reading,
  Replay,
  StreamEvent,
} from './format.js'
import type { FramingName } from './framing.js'
import { readMessages } from './messages.js'

/** What a host's handler is asked, as its `read` finds it in the body. */
export interface HostQuestion {
  /** The user's words, or whole messages. */
  readonly question: string | Message | readonly Message[] | undefined
  readonly model?: string
  /** Pinned to the front of the session from now on. */
  readonly system?: string
  readonly stream?: boolean
}

/** What one event of a host's answer says. Nothing of it: the event is none of the answer's. */
export interface HostEvent {
  /** More of the answer's text. */
  readonly delta?: string
  /** All of the answer's text so far, for handlers that send it anew each time. */
  readonly replace?: string
  /** The last word: what follows is none of the answer. */
  readonly end?: boolean
  /** The answer failed, whatever its status says. */
  readonly error?: unknown
  /** What the answer cost, in the host's own words. */
  readonly usage?: JsonObject
}

/** The shape of a handler that does not speak chat completions. */
export interface HostFormatOptions<Data> {
  /** Stored with every turn. */
  readonly name: string
  /** The question in a parsed body. */
  readonly read: (body: JsonObject) => HostQuestion
  /** `false`: the handler reads `req.turnlog.messages` itself, and its body stays as it was. Else the body with the prompt in it. */
  readonly inject: false | ((body: JsonObject, messages: readonly Message[]) => JsonObject)
  /** How the answer is cut. Told by its content type and its first byte when absent. */
  readonly framing?: FramingName
  /** What one event, line or body says: `data` is its JSON parsed, or its text where it is none; `name` is an SSE event's. */
  readonly event: (data: Data, name?: string) => HostEvent | undefined
  /** Whether every whole answer says `end`: one that ends without it is then `interrupted`. Default false. */
  readonly mustEnd?: boolean
  /** A finished answer for a repeated idempotency key. Default: text for `text`, else `{"message": {"role", "content"}}`. */
  readonly replay?: (answer: string, stream: boolean) => Replay
}

const rules: Readonly<Record<keyof HostFormatOptions<unknown>, Rule>> = {
  name: { must: 'a name', holds: (value) => typeof value === 'string' && /^[\w.-]{1,64}$/.test(value) },
  read: aFunction,
  inject: { must: 'false or a function', holds: (value) => value === false || typeof value === 'function' },
  framing: oneOf('sse', 'ndjson', 'json', 'text'),
  event: aFunction,
  mustEnd: yesOrNo,
  replay: aFunction,
}

/**
 * A format of the host's own, for a handler that takes `{message}` and answers in its own way.
 *
 *     const format = hostFormat({
 *       name: 'support-chat',
 *       read: (body) => ({ question: body.message as string }),
 *       inject: false,
 *       framing: 'ndjson',
 *       event: (line: { token?: string; failed?: string }) => ({ delta: line.token, error: line.failed }),
 *     })
 */
export function hostFormat<Data = unknown>(given: HostFormatOptions<Data>): Format {
  checkFields(given, rules, (message) => new Misconfigured(message))
  for (const name of ['name', 'read', 'inject', 'event'] as const) {
    if (given[name] === undefined) throw new Misconfigured(`hostFormat needs ${name}: ${rules[name].must}.`)
  }
  const { name, read, inject, framing, event, mustEnd = false, replay = defaultReplay(framing) } = given
  return {
    name,
    framing,
    read: (body) => questionOf(body, read(body)),
    inject: (body, prompt) => (inject === false ? body : inject(body, messagesIn(prompt))),
    reader: () => new HostReader(event as HostFormatOptions<unknown>['event'], mustEnd),
    calls: () => [],
    answers: () => [],
    closeOff: (message) => message,
    adopt: () => undefined,
    repair: (stored) => ({ ...stored, repaired: [] }),
    // The host's own words for its usage may say anything.
    promptTokens: () => undefined,
    failure: (error) => `data: ${JSON.stringify(error)}\n\n`,
    replay: (turn, stream) => replay(textOf(turn), stream),
  }
}

const messagesIn = ({ system, messages }: Prompt): readonly Message[] => [...system, ...messages]

/** The core's own `begin({ question })` has no body of the host's shape: its messages are taken as they are. */
function questionOf(body: JsonObject, asked: HostQuestion): Question {
  const { question = body['messages'], model, system, stream = false } = asked
  const isText = typeof question === 'string'
  if (question === undefined || question === '') {
    throw new InvalidRequest('The request asks nothing. Send the words of the user.')
  }
  const given = isText ? [{ role: 'user', content: question }] : [question].flat()
  return {
    system: system === undefined ? [] : [{ role: 'system', content: system }],
    messages: readMessages(given, '"user" or "assistant"'),
    stream,
    ...(model !== undefined && { model }),
  }
}

/** Folds what the host's own function says of each event. */
class HostReader implements AnswerReader {
  #text = ''
  #usage: JsonObject | undefined
  #ended: boolean

  constructor(
    private readonly read: (data: unknown, name?: string) => HostEvent | undefined,
    mustEnd: boolean,
  ) {
    this.#ended = !mustEnd
  }

  event({ data, event }: StreamEvent): Reading {
    return this.#take(parseJson(data) ?? data, event)
  }

  chunk(chunk: JsonObject): Reading {
    return this.#take(chunk)
  }

  body(body: unknown): Reading {
    if (body === undefined) return 'error'
    const reading = this.#take(body)
    if (typeof body === 'string' || reading === 'error') return reading
    this.#ended = true
    return 'end'
  }

  answer(): Answer | undefined {
    if (this.#text === '') return undefined
    return {
      messages: [{ role: 'assistant', content: this.#text }],
      calls: [],
      // Without a last word of its own, an answer is whole when its response is.
      ...(this.#ended && { finishReason: 'stop' }),
      ...(this.#usage && { usage: this.#usage }),
    }
  }

  #take(data: unknown, name?: string): Reading {
    const said = this.read(data, name)
    if (said === undefined) return 'more'
    const { delta, replace, end, error, usage } = said
    if (error !== undefined && error !== null && error !== false) return 'error'
    if (typeof replace === 'string') this.#text = replace
    if (typeof delta === 'string') this.#text += delta
    if (isObject(usage)) this.#usage = usage
    if (end !== true) return 'more'
    this.#ended = true
    return 'end'
  }
}

function textOf({ messages }: FinishedTurn): string {
  const content = messages.at(-1)?.message.content
  return typeof content === 'string' ? content : ''
}

const defaultReplay =
  (framing: FramingName | undefined) =>
  (answer: string): Replay =>
    framing === 'text'
      ? { contentType: 'text/plain; charset=utf-8', body: answer }
      : {
          contentType: 'application/json',
          body: JSON.stringify({ message: { role: 'assistant', content: answer } }),
        }
