import { isObject, parseJson, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { Answer, AnswerReader, Reading, StreamEvent } from './format.js'
import { join, mostParts, type JoinRule } from './join.js'

/** How the fields of a message's deltas join. The official client replaces the reasoning fields, which loses all but their last piece. */
const messageRule: JoinRule = {
  content: 'append',
  refusal: 'append',
  reasoning: 'append',
  reasoning_content: 'append',
  reasoning_details: 'append',
  function_call: { arguments: 'append' },
  audio: { data: 'append', transcript: 'append' },
}

const callRule: JoinRule = { function: { arguments: 'append' }, custom: { input: 'append' } }

/** A tool call as far as it was read. `index` is where the provider says it stands, which may be nowhere or wrong. */
interface Call {
  readonly index: unknown
  readonly fields: JsonObject
  /** This provider says the name again within a call, so a name says nothing of where a call begins. */
  readonly repeats?: boolean
}

/** What stands beside the choices. */
interface Head {
  readonly id: string | undefined
  readonly model: string | undefined
  readonly time: number | undefined
  readonly usage: JsonObject | undefined
}

/** What a stream has said so far: of its choices, the first one alone. Every field is always there, which makes a step three times as fast. */
export interface Said {
  readonly head: Head
  readonly message: JsonObject | undefined
  readonly calls: readonly Call[]
  readonly finish: string | undefined
  readonly choices: number
}

const noHead: Head = { id: undefined, model: undefined, time: undefined, usage: undefined }

export const nothingSaid: Said = {
  head: noHead,
  message: undefined,
  calls: [],
  finish: undefined,
  choices: 0,
}

/** One step of the fold: what is said once this chunk was read. */
export function fold(said: Said, chunk: JsonObject): Said {
  const { choices, usage } = chunk
  if (!Array.isArray(choices)) return isObject(usage) ? { ...said, head: { ...said.head, usage } } : said
  return choices.filter(isObject).reduce(withChoice, { ...said, head: headAfter(said.head, chunk) })
}

/** Azure's first chunk names neither id nor model, so what is empty says nothing. */
function headAfter(head: Head, { id, model, created, usage }: JsonObject): Head {
  return {
    id: isText(id) ? id : head.id,
    model: isText(model) ? model : head.model,
    time: typeof created === 'number' && created > 0 ? created : head.time,
    usage: isObject(usage) ? usage : head.usage,
  }
}

function withChoice(said: Said, { index, delta, finish_reason: finish }: JsonObject): Said {
  const at = Number.isInteger(index) ? (index as number) : 0
  const choices = Math.max(said.choices, at + 1)
  if (at !== 0) return { ...said, choices }
  const { tool_calls: calls, ...fields } = isObject(delta) ? delta : noDelta
  return {
    head: said.head,
    message: join(said.message ?? opening, fields, messageRule),
    calls: Array.isArray(calls) ? withCalls(said.calls, calls) : said.calls,
    finish: isText(finish) ? finish : said.finish,
    choices,
  }
}

const opening: JsonObject = { role: 'assistant', content: null }

const noDelta: JsonObject = {}

const withCalls = (calls: readonly Call[], deltas: readonly unknown[]): readonly Call[] =>
  deltas
    .slice(0, mostParts + 1)
    .filter(isObject)
    .reduce(withCall, calls)

function withCall(calls: readonly Call[], delta: JsonObject): readonly Call[] {
  const { index, ...fields } = delta
  const at = placeOf(calls, index, fields)
  const call = calls[at]
  if (!call) return [...calls, { index, fields: join({}, fields, callRule) }]
  const repeats = call.repeats === true || (isNamed(call.fields) && isNamed(fields))
  return calls.with(at, { index: call.index, fields: join(call.fields, fields, callRule), repeats })
}

/**
 * Which call a delta belongs to; -1 is a new one. The index alone is not enough: some providers leave it out, some give
 * every call the index 0. So an id that is new opens a call, and so does a name where a whole call stands already.
 */
function placeOf(calls: readonly Call[], index: unknown, fields: JsonObject): number {
  const at = isMissing(index) ? calls.length - 1 : calls.findLastIndex((call) => call.index === index)
  const call = calls[at]
  const { id } = fields
  if (!isText(id)) return call && !call.repeats && isNamed(fields) && isWhole(call) ? -1 : at
  if (call && !isText(call.fields['id']) && !isWhole(call)) return at
  return calls.findIndex((call) => call.fields['id'] === id && isSamePlace(call.index, index))
}

const isMissing = (index: unknown): boolean => index === undefined || index === null

const isSamePlace = (one: unknown, other: unknown): boolean =>
  one === other || isMissing(one) || isMissing(other)

const isNamed = ({ function: fn }: JsonObject): boolean => isObject(fn) && isText(fn['name'])

/** Whether a call's arguments are complete: no beginning of a JSON object is one itself. */
function isWhole({ fields: { function: fn } }: Call): boolean {
  return isObject(fn) && isText(fn['arguments']) && isObject(parseJson(fn['arguments']))
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** The message as the provider's JSON answer would have held it. */
function messageOf(message: JsonObject, calls: readonly Call[]): Message {
  const whole = calls.length === 0 ? message : { ...message, tool_calls: calls.map(wholeCall) }
  const { content, refusal, function_call: call, audio } = whole
  const otherwise = calls.length > 0 || isText(refusal) || isObject(call) || isObject(audio)
  return { ...whole, ...(content === '' && otherwise && { content: null }) } as Message
}

/** The fields that some providers leave out of a stream and no client can do without. */
function wholeCall({ fields }: Call): JsonObject {
  const { function: fn } = fields
  if (!isObject(fn)) return fields
  return { ...fields, type: fields['type'] ?? 'function', function: { name: '', arguments: '', ...fn } }
}

function answerOf({ head, message, calls, finish, choices }: Said): Answer | undefined {
  if (!message) return undefined
  const whole = messageOf(message, calls)
  return finish === undefined && isEmpty(whole) ? undefined : answerWith(whole, head, finish, choices)
}

/** Only a role, and nothing in any field. */
const isEmpty = ({ role: _role, ...fields }: Message): boolean =>
  Object.values(fields).every(
    (value) => value === null || value === '' || (Array.isArray(value) && value.length === 0),
  )

function answerWith(message: Message, head: Head, finish: unknown, choices: number): Answer {
  const { id, model, time, usage } = head
  return {
    messages: [message],
    calls: callIds(message),
    ...(model !== undefined && { model }),
    ...(id !== undefined && { responseId: id }),
    ...(time !== undefined && { responseTime: time }),
    ...(isText(finish) && { finishReason: finish }),
    ...(usage !== undefined && { usage }),
    choices,
  }
}

/** Ids of the tool calls that an answer makes. */
export function callIds({ role, tool_calls: calls }: Message): readonly string[] {
  if (role !== 'assistant' || !Array.isArray(calls)) return []
  return calls.map((call: unknown) => (isObject(call) ? call['id'] : undefined)).filter(isText)
}

/** A whole JSON answer; nothing when the body is none. */
function readBody(body: unknown): Answer | undefined {
  if (!isObject(body) || !Array.isArray(body['choices'])) return undefined
  const choices = body['choices'].filter(isObject)
  const choice = choices.find(({ index }) => index === 0) ?? choices[0]
  const message = choice?.['message']
  if (!choice || !isObject(message)) return undefined
  const whole: Message = { ...message, role: isText(message['role']) ? message['role'] : 'assistant' }
  return answerWith(whole, headAfter(noHead, body), choice['finish_reason'], choices.length)
}

/** An error inside a 200: OpenAI's envelope, vLLM's bare error object, or OpenRouter's finish reason. */
function isRefusal({ error, object, choices }: JsonObject): boolean {
  if (error || object === 'error') return true
  return (
    Array.isArray(choices) &&
    choices.some((choice) => isObject(choice) && choice['finish_reason'] === 'error')
  )
}

/** Every step copies the lists that it appends to: without a bound a stream of many parts would cost the square of them. */
const isOvergrown = ({ calls, message = {} }: Said): boolean =>
  calls.length > mostParts ||
  Object.values(message).some((list) => Array.isArray(list) && list.length > mostParts)

/** Reads one chat completion, streamed or whole. */
export class ChatReader implements AnswerReader {
  #said = nothingSaid
  #whole: Answer | undefined

  event({ event, data }: StreamEvent): Reading {
    if (event === 'error') return 'error'
    if (data.startsWith('[DONE]')) return 'end'
    const chunk = parseJson(data)
    if (isObject(chunk)) return this.chunk(chunk)
    // A host may mix events of its own, with names of their own, into the provider's.
    return chunk === undefined && data !== '' && (event ?? 'message') === 'message' ? 'error' : 'more'
  }

  chunk(chunk: JsonObject): Reading {
    if (isRefusal(chunk)) return 'error'
    this.#said = fold(this.#said, chunk)
    return isOvergrown(this.#said) ? 'error' : 'more'
  }

  body(body: unknown): Reading {
    if (isObject(body) && isRefusal(body)) return 'error'
    this.#whole = readBody(body)
    return this.#whole ? 'end' : 'error'
  }

  answer(): Answer | undefined {
    return this.#whole ?? answerOf(this.#said)
  }
}
