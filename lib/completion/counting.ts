import type { JsonObject } from '../model/json.js'
import type { HistoryMessage, Message } from '../model/message.js'
import { limitsOf, type ModelLimits, type ModelLimitsOption } from '../window/limits.js'
import { openTokenizer } from '../window/thread-tokenizer.js'
import type { Encoding, Tokenizer } from '../window/tokenizer.js'
import { TokenCounter } from '../window/tokens.js'
import { roughTokens } from '../window/window.js'

export interface CountingOptions {
  readonly modelLimits?: ModelLimitsOption
  /** Where tokens are counted; in a thread of its own when absent. */
  readonly tokenizer?: Tokenizer
  /** The host's `modelLimits` threw, an encoding could not be loaded, or what counts broke. */
  readonly onFault: (error: unknown) => void
}

/** What may be learned of a model when the provider says how long a prompt was. */
export interface Counted {
  readonly model: string
  /** Tokens of the whole prompt as they were counted here. */
  readonly tokens: number
}

// Below this a few tokens that a provider adds to every prompt would look like a ratio.
const leastLearned = 200
const mostRatio = 2
/** Models whose ratio is remembered, and tool definitions whose count is. */
const mostRemembered = 200
// Claude's own rule, for the largest image that it does not scale down.
const claudeImage = 1600

/**
 * Counts what is new, once, and knows what a model takes. Loading an encoding takes up to a second: no request waits for
 * that. Until it is loaded, and where counting fails, messages stay uncounted, which windows estimate on the safe side.
 */
export class Counting {
  readonly #tokenizer: Tokenizer
  readonly #ratios = new Map<string, number>()
  readonly #tools = new Map<string, number>()
  #closed = false

  constructor(private readonly options: CountingOptions) {
    this.#tokenizer = options.tokenizer ?? openTokenizer()
  }

  /** `undefined` for a model that nobody knows, or none. */
  limitsOf(model: string | null | undefined): ModelLimits | undefined {
    if (model === undefined || model === null) return undefined
    try {
      return limitsOf(model, this.options.modelLimits)
    } catch (error) {
      this.options.onFault(error)
      return undefined
    }
  }

  /** The messages with their counts, where the encoding is loaded. A model that is not named counts as the newest do. */
  async counted(
    messages: readonly Message[],
    model: string | null | undefined,
  ): Promise<readonly HistoryMessage[]> {
    const held = messages.map((message) => ({ message }))
    const encoding = this.#encodingOf(model)
    if (!encoding || !this.#tokenizer.isLoaded(encoding)) return held
    return (await this.#try(() => this.#counter(encoding, model).counted(held))) ?? held
  }

  /** Tokens of tool definitions. Hosts send the same with every request. */
  async tools(tools: readonly unknown[], encoding: Encoding): Promise<number> {
    if (tools.length === 0) return 0
    if (!this.#tokenizer.isLoaded(encoding)) return roughTokens(tools)
    const text = `${encoding} ${JSON.stringify(tools)}`
    const known = this.#tools.get(text)
    if (known !== undefined) return known
    const tokens = await this.#try(() => this.#counter(encoding, undefined).tools(tools))
    if (tokens === undefined) return roughTokens(tools)
    remember(this.#tools, text, tokens)
    return tokens
  }

  isLoaded(encoding: Encoding): boolean {
    return this.#tokenizer.isLoaded(encoding)
  }

  /** The provider's tokens for each that is counted here. */
  ratioOf(model: string): number {
    return this.#ratios.get(model) ?? 1
  }

  /**
   * The provider said how long a prompt was. What it says on top of our count counts at once, and fades by an eighth
   * a turn. Kept by model, in this process alone: it is the tokenizer that differs, not the session.
   */
  learn({ model, tokens }: Counted, promptTokens: number): void {
    if (tokens < leastLearned) return
    const observed = Math.min(mostRatio, Math.max(1, promptTokens / tokens))
    const before = this.ratioOf(model)
    remember(this.#ratios, model, Math.max(observed, before + (observed - before) / 8))
  }

  /** Load what this model is counted with, when nothing else is to be done. Resolves when it is loaded, or known not to be. */
  async load(model: string | null | undefined): Promise<void> {
    const encoding = this.limitsOf(model)?.encoding
    if (!encoding || this.#closed || this.#tokenizer.isLoaded(encoding)) return
    await this.#try(() => this.#tokenizer.load(encoding))
  }

  /** From now on nothing is loaded; what is loaded counts what is still running. */
  close(): void {
    this.#closed = true
  }

  /** Nothing is counted any more. */
  end(): Promise<void> {
    return this.#tokenizer.close()
  }

  async #try<T>(count: () => Promise<T>): Promise<T | undefined> {
    try {
      return await count()
    } catch (error) {
      if (!this.#closed) this.options.onFault(error)
      return undefined
    }
  }

  #encodingOf(model: string | null | undefined): Encoding | undefined {
    return model === undefined || model === null ? 'o200k_base' : this.limitsOf(model)?.encoding
  }

  #counter(encoding: Encoding, model: string | null | undefined): TokenCounter {
    return new TokenCounter(
      this.#tokenizer,
      encoding,
      /claude/i.test(model ?? '') ? { image: claudeImage } : {},
    )
  }
}

/** The prompt's tokens in a provider's usage object. */
export type PromptTokens = (usage: JsonObject) => number | undefined

function remember(known: Map<string, number>, name: string, value: number): void {
  if (known.size >= mostRemembered) known.delete(known.keys().next().value!)
  known.set(name, value)
}
