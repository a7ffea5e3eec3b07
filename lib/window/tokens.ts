import { isObject, type JsonObject } from '../model/json.js'
import type { HistoryMessage, Message } from '../model/message.js'
import { imageTokens, sizeOf, sizeOfData } from './images.js'
import type { Encoding, Tokenizer } from './tokenizer.js'

/** Flat counts for what has no text, in tokens. */
export interface FlatTokens {
  /** Every image in full detail; by its size where its data tells it, else 765 (1024 × 1024), when absent. Claude: 1,600. */
  readonly image?: number
  /** An image asked for in low detail. Default 85. */
  readonly lowImage: number
  /** A part with sound. Default 500. */
  readonly audio: number
  /** A file. Default 2,000. */
  readonly file: number
}

/** Tokens that open the answer, once a prompt. */
export const primingTokens = 3

// OpenAI's cookbook, How_to_count_tokens_with_tiktoken.ipynb.
const messageTokens = 3
const nameTokens = 1
const callTokens = 3

const defaultFlat: FlatTokens = { lowImage: 85, audio: 500, file: 2000 }
const usualImage = { width: 1024, height: 1024 }

/** Counts tokens as OpenAI does. A message's count does not depend on its neighbours, so it can be stored with it. */
export class TokenCounter {
  readonly encoding: Encoding
  readonly #tokenizer: Tokenizer
  readonly #flat: FlatTokens

  /** Nothing is loaded before it counts. */
  constructor(tokenizer: Tokenizer, encoding: Encoding, flat: Partial<FlatTokens> = {}) {
    this.#tokenizer = tokenizer
    this.encoding = encoding
    this.#flat = { ...defaultFlat, ...flat }
  }

  /** Tokens of a text. Special tokens are text. Long texts let the event loop turn in between. */
  text(text: string): Promise<number> {
    return this.#count({ texts: [text], flat: 0 })
  }

  /** Tokens of a message, the overhead of its place in a prompt included. */
  message(message: Message): Promise<number> {
    return this.#count(readMessage(message, this.#flat))
  }

  /** The messages with their counts; those that carry one are left as they are. */
  async counted(messages: readonly HistoryMessage[]): Promise<HistoryMessage[]> {
    const isNew = ({ tokens }: HistoryMessage): boolean => tokens === undefined
    const counts = await this.#counts(
      messages.filter(isNew).map(({ message }) => readMessage(message, this.#flat)),
    )
    const next = counts.values()
    return messages.map((held) => (isNew(held) ? { ...held, tokens: next.next().value! } : held))
  }

  /** Tokens of the tool definitions of a request. */
  tools(tools: readonly unknown[]): Promise<number> {
    return tools.length === 0 ? Promise.resolve(0) : this.#count(readTools(tools, this.encoding))
  }

  async #count(countable: Countable): Promise<number> {
    const [tokens] = await this.#counts([countable])
    return tokens!
  }

  /** All in one call: a tokenizer may be a thread away. */
  async #counts(all: readonly Countable[]): Promise<number[]> {
    if (all.length === 0) return []
    const counts = await this.#tokenizer.count(
      this.encoding,
      all.map(({ texts }) => texts),
    )
    return all.map(({ flat }, at) => flat + counts[at]!)
  }
}

/** What is to be counted: texts, and tokens that need no counting. */
interface Countable {
  readonly texts: string[]
  flat: number
}

// They name things to machines and are not part of what a model reads.
const uncounted = new Set([
  'id',
  'tool_call_id',
  'tool_use_id',
  'type',
  'annotations',
  'signature',
  'cache_control',
  'status',
])

function readMessage(message: Message, flat: FlatTokens): Countable {
  const { role, content, name, tool_calls: calls, function_call: call, audio, ...rest } = message
  const sum: Countable = { texts: [role], flat: messageTokens }
  readContent(content, sum, flat)
  if (typeof name === 'string') {
    sum.flat += nameTokens
    sum.texts.push(name)
  }
  for (const each of Array.isArray(calls) ? calls : []) readCall(each, sum)
  if (isObject(call)) readCall({ function: call }, sum)
  if (isObject(audio)) sum.flat += flat.audio
  for (const [field, value] of Object.entries(rest)) if (!uncounted.has(field)) readValue(value, sum)
  return sum
}

function readCall(call: unknown, sum: Countable): void {
  sum.flat += callTokens
  if (!isObject(call)) return
  const { function: made, custom } = call
  const said = isObject(made) ? made : isObject(custom) ? custom : {}
  for (const value of [said.name, said.arguments, said.input]) readValue(value, sum)
}

function readContent(content: unknown, sum: Countable, flat: FlatTokens): void {
  if (!Array.isArray(content)) return readValue(content, sum)
  for (const part of content) {
    if (isObject(part)) readPart(part, sum, flat)
    else readValue(part, sum)
  }
}

function readPart(part: JsonObject, sum: Countable, flat: FlatTokens): void {
  const type = String(part.type)
  if (type.includes('image')) sum.flat += tokensOfImage(part, flat)
  else if (type.includes('audio')) sum.flat += flat.audio
  else if (type === 'file' || type === 'input_file' || type === 'document') sum.flat += flat.file
  else if (type.endsWith('tool_result')) readContent(part.content, sum, flat)
  else readFields(part, sum, type.endsWith('tool_use') ? callTokens : 0)
}

function readFields(part: JsonObject, sum: Countable, overhead: number): void {
  sum.flat += overhead
  for (const [field, value] of Object.entries(part)) if (!uncounted.has(field)) readValue(value, sum)
}

function tokensOfImage({ detail, image_url: image, source }: JsonObject, flat: FlatTokens): number {
  const { url, detail: wanted } = isObject(image) ? image : { url: image, detail }
  if (wanted === 'low') return flat.lowImage
  if (flat.image !== undefined) return flat.image
  return imageTokens(sizeOf(url) ?? sizeOfData(isObject(source) ? source.data : undefined) ?? usualImage)
}

function readValue(value: unknown, sum: Countable): void {
  if (value === undefined || value === null) return
  sum.texts.push(typeof value === 'string' ? value : JSON.stringify(value))
}

// OpenAI's cookbook, num_tokens_for_tools.
const propertiesTokens = 3
const propertyTokens = 3
const enumTokens = -3
const enumItemTokens = 3
const toolsEndTokens = 12

function readTools(tools: readonly unknown[], encoding: Encoding): Countable {
  const sum: Countable = { texts: [], flat: toolsEndTokens }
  for (const tool of tools) {
    const definition = isObject(tool) && isObject(tool.function) ? tool.function : tool
    sum.flat += encoding === 'cl100k_base' ? 10 : 7
    if (isObject(definition) && typeof definition.name === 'string') readTool(definition, sum)
    else readValue(definition, sum)
  }
  return sum
}

function readTool({ name, description, parameters, input_schema: schema }: JsonObject, sum: Countable): void {
  sum.texts.push(`${String(name)}:${withoutStop(description)}`)
  const declared = isObject(parameters) ? parameters : schema
  const properties =
    isObject(declared) && isObject(declared.properties) ? Object.entries(declared.properties) : []
  if (properties.length > 0) sum.flat += propertiesTokens
  for (const [key, property] of properties) readProperty(key, isObject(property) ? property : {}, sum)
}

function readProperty(key: string, property: JsonObject, sum: Countable): void {
  const { type, description, enum: choices, ...nested } = property
  sum.flat += propertyTokens
  sum.texts.push(`${key}:${String(type)}:${withoutStop(description)}`)
  if (Array.isArray(choices)) {
    sum.flat += enumTokens + choices.length * enumItemTokens
    for (const choice of choices) readValue(choice, sum)
  }
  if (Object.keys(nested).length > 0) readValue(nested, sum)
}

const withoutStop = (description: unknown): string =>
  typeof description === 'string' ? description.replace(/\.$/, '') : ''
