import type { Tiktoken } from 'tiktoken/lite'
import { isObject, type JsonObject } from '../model/json.js'
import type { HistoryMessage, Message } from '../model/message.js'
import { imageTokens, sizeOf, sizeOfData } from './images.js'
import { slicesOf } from './slices.js'

/** The encodings that Turnlog counts with; other providers' tokens are estimated with the newer one. */
export type Encoding = 'cl100k_base' | 'o200k_base'

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

// Long enough to be worth a turn of the event loop, short enough that nobody notices.
const busyMs = 2

/** Loads encodings when they are first asked for. What is loaded serves the whole process. */
export class Encodings {
  readonly #loading = new Map<Encoding, Promise<Tiktoken>>()
  readonly #loaded = new Set<Encoding>()

  /** Resolves when the encoding is ready. Repeated calls are cheap; after a failure the next call tries again. */
  load(encoding: Encoding): Promise<Tiktoken> {
    const known = this.#loading.get(encoding)
    if (known) return known
    const loading = loadEncoding(encoding)
    this.#loading.set(encoding, loading)
    loading.then(
      () => this.#loaded.add(encoding),
      () => this.#loading.delete(encoding),
    )
    return loading
  }

  /** Whether counting begins at once. */
  isLoaded(encoding: Encoding): boolean {
    return this.#loaded.has(encoding)
  }

  /** A counter for one encoding. Nothing is loaded before it counts. */
  counter(encoding: Encoding, flat: Partial<FlatTokens> = {}): TokenCounter {
    return new TokenCounter(this, encoding, { ...defaultFlat, ...flat })
  }
}

const loadEncoding = async (encoding: Encoding): Promise<Tiktoken> =>
  encoding === 'cl100k_base' ? (await import('./cl100k.js')).cl100k : (await import('./o200k.js')).o200k

/** Counts tokens as OpenAI does. A message's count does not depend on its neighbours, so it can be stored with it. */
export class TokenCounter {
  readonly encoding: Encoding
  readonly #encodings: Encodings
  readonly #flat: FlatTokens

  constructor(encodings: Encodings, encoding: Encoding, flat: FlatTokens) {
    this.#encodings = encodings
    this.encoding = encoding
    this.#flat = flat
  }

  /** Tokens of a text. Special tokens are text. Long texts let the event loop turn in between. */
  text(text: string): Promise<number> {
    return this.#count([text], 0)
  }

  /** Tokens of a message, the overhead of its place in a prompt included. */
  message(message: Message): Promise<number> {
    const { texts, flat } = readMessage(message, this.#flat)
    return this.#count(texts, flat)
  }

  /** The messages with their counts; those that carry one are left as they are. */
  async counted(messages: readonly HistoryMessage[]): Promise<HistoryMessage[]> {
    const counted: HistoryMessage[] = []
    for (const held of messages)
      counted.push(held.tokens === undefined ? { ...held, tokens: await this.message(held.message) } : held)
    return counted
  }

  /** Tokens of the tool definitions of a request. */
  tools(tools: readonly unknown[]): Promise<number> {
    if (tools.length === 0) return Promise.resolve(0)
    const { texts, flat } = readTools(tools, this.encoding)
    return this.#count(texts, flat)
  }

  async #count(texts: readonly string[], flat: number): Promise<number> {
    const tiktoken = await this.#encodings.load(this.encoding)
    let tokens = flat
    let since = performance.now()
    for (const text of texts) {
      let before = { slice: '', tokens: 0 }
      for (const slice of slicesOf(text)) {
        // What is costly to count is mostly the same again.
        if (slice !== before.slice) before = { slice, tokens: tiktoken.encode_ordinary(slice).length }
        tokens += before.tokens
        if (performance.now() - since < busyMs) continue
        await new Promise((resolve) => setImmediate(resolve))
        since = performance.now()
      }
    }
    return tokens
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
