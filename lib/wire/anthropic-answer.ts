import { isObject, parseJson, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { Answer, AnswerReader, Reading, StreamEvent } from './format.js'
import { join, mostParts } from './join.js'

/** A block as far as it was read. `json` is the input of a call, which comes as text and is parsed when it is asked for. */
interface Block {
  readonly index: unknown
  readonly fields: JsonObject
  readonly json?: string
}

/** What a stream has said so far. */
export interface Said {
  /** The message's fields but for its content and usage, once it began. */
  readonly message?: JsonObject
  readonly blocks: readonly Block[]
  readonly usage?: JsonObject
}

export const nothingSaid: Said = { blocks: [] }

/** One step of the fold: what is said once this event was read. Events that nobody knows yet say nothing. */
export function fold(said: Said, event: JsonObject): Said {
  const { type, index, message, delta, usage } = event
  if (type === 'message_start' && isObject(message)) return begun(message)
  if (!said.message) return said
  if (type === 'content_block_start') return withBlock(said, index, event['content_block'])
  if (type === 'content_block_delta' && isObject(delta)) return withDelta(said, index, delta)
  if (type === 'message_delta') return withEnd(said, isObject(delta) ? delta : {}, usage)
  return said
}

function begun({ content: _none, usage, ...message }: JsonObject): Said {
  return { message, blocks: [], ...(isObject(usage) && { usage }) }
}

function withBlock(said: Said, index: unknown, block: unknown): Said {
  return isObject(block) ? { ...said, blocks: [...said.blocks, { index, fields: block }] } : said
}

function withDelta(said: Said, index: unknown, delta: JsonObject): Said {
  const at = said.blocks.findLastIndex((block) => block.index === index)
  const block = said.blocks[at]
  return block ? { ...said, blocks: said.blocks.with(at, grown(block, delta)) } : said
}

function grown(
  block: Block,
  { type, text, thinking, signature, citation, partial_json: json }: JsonObject,
): Block {
  if (type === 'input_json_delta') return { ...block, json: `${block.json ?? ''}${String(json)}` }
  if (type === 'text_delta') return withFields(block, { text })
  if (type === 'thinking_delta') return withFields(block, { thinking })
  if (type === 'signature_delta') return withFields(block, { signature })
  if (type === 'citations_delta') return withFields(block, { citations: [citation] })
  return block
}

const withFields = (block: Block, fields: JsonObject): Block => ({
  ...block,
  fields: join(block.fields, fields, { text: 'append', thinking: 'append', citations: 'append' }),
})

/** The last fields of the message. Usage is cumulative: what is given replaces, and is never added. */
function withEnd(said: Said, { container, ...fields }: JsonObject, usage: unknown): Said {
  const box = container === null || container === undefined ? {} : { container }
  return {
    ...said,
    message: { ...said.message, ...fields, ...box },
    ...(isObject(usage) && { usage: join(said.usage ?? {}, usage, {}) }),
  }
}

/** A call whose input was cut off has none: half an input is never to be taken for one. */
function wholeBlock({ fields, json }: Block): JsonObject {
  if (json === undefined || json === '') return fields
  const input = parseJson(json)
  return { ...fields, input: isObject(input) ? input : {} }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

function answerOf({ message, blocks, usage }: Said): Answer | undefined {
  if (!message) return undefined
  const content = blocks.map(wholeBlock)
  return content.every(isEmpty) && !isText(message['stop_reason'])
    ? undefined
    : answerWith({ ...message, content }, usage)
}

const isEmpty = ({ type, text, thinking }: JsonObject): boolean =>
  (type === 'text' && text === '') || (type === 'thinking' && thinking === '')

/** The answer in a whole message object. What the turn has a place for leaves the message, everything else stays with it. */
function answerWith(whole: JsonObject, usage: unknown): Answer {
  const { id, type: _type, role, model, content, stop_reason: reason, usage: _usage, ...fields } = whole
  const message: Message = { role: isText(role) ? role : 'assistant', content, ...fields }
  return {
    messages: [message],
    calls: blockIds(content, 'tool_use', 'id'),
    ...(isText(model) && { model }),
    ...(isText(id) && { responseId: id }),
    ...(isText(reason) && { finishReason: reason }),
    ...(isObject(usage) && { usage }),
    choices: 1,
  }
}

/** The ids that blocks of one type carry in one field. */
export function blockIds(content: unknown, type: string, field: string): readonly string[] {
  if (!Array.isArray(content)) return []
  const blocks = content.filter(isObject).filter((block) => block['type'] === type)
  return blocks.map((block) => block[field]).filter(isText)
}

/** Every step copies the lists that it appends to: without a bound a stream of many parts would cost the square of them. */
const addsPart = ({ type, delta }: JsonObject): boolean =>
  type === 'content_block_start' || (isObject(delta) && delta['type'] === 'citations_delta')

/** Reads one message, streamed or whole. */
export class MessageReader implements AnswerReader {
  #said = nothingSaid
  #whole: Answer | undefined
  #parts = 0

  event({ event, data }: StreamEvent): Reading {
    if (event === 'error') return 'error'
    const parsed = parseJson(data)
    if (isObject(parsed)) return this.chunk(parsed)
    // Events that are not the provider's, unnamed ones too, are skipped as the official client skips them.
    return parsed === undefined && /^(message|content_block)_/.test(event ?? '') ? 'error' : 'more'
  }

  chunk(chunk: JsonObject): Reading {
    if (chunk['type'] === 'error') return 'error'
    if (chunk['type'] === 'message_stop') return 'end'
    if (addsPart(chunk)) this.#parts += 1
    if (this.#parts > mostParts) return 'error'
    this.#said = fold(this.#said, chunk)
    return 'more'
  }

  body(body: unknown): Reading {
    if (!isObject(body) || body['type'] === 'error' || !Array.isArray(body['content'])) return 'error'
    this.#whole = answerWith(body, body['usage'])
    return 'end'
  }

  answer(): Answer | undefined {
    return this.#whole ?? answerOf(this.#said)
  }
}
