import { ContextLengthExceeded } from '../model/errors.js'
import type { ModelLimits } from './limits.js'
import { primingTokens } from './tokens.js'
import type { Window } from './window.js'

/** What a request takes of a model's context, in tokens. */
export interface Spending {
  readonly limits: ModelLimits
  /** What the request reserves for the answer: its `max_tokens` or `max_completion_tokens`. */
  readonly outputTokens?: number
  readonly tools: number
  readonly question: number
  /** Tokens of the provider for each that is counted here. Default 1. */
  readonly ratio?: number
}

/** How the tokens of a context are shared out. */
export interface Budget {
  /** For the history and the pinned messages; negative where the question alone is too long. */
  readonly tokens: number
  /** For the whole prompt. */
  readonly prompt: number
  /** Reserved for the answer. */
  readonly reserved: number
  /** Taken before any history: tools, question and the opening of the answer. */
  readonly spent: number
  readonly ratio: number
}

// Long enough for most answers; a model with a small context keeps three quarters of it for the prompt.
const usualAnswer = 4096

/** min(input limit, context - reserved output) - tools - question - priming, in tokens as they are counted here. */
export function budgetOf({ limits, outputTokens, tools, question, ratio = 1 }: Spending): Budget {
  const { context, input = Infinity, output = Infinity } = limits
  const reserved = Math.min(outputTokens ?? Math.min(usualAnswer, Math.floor(context / 4)), output)
  const prompt = Math.min(input, context - reserved)
  const spent = tools + question + primingTokens
  return { tokens: Math.floor(prompt / ratio) - spent, prompt, reserved, spent, ratio }
}

/** The refusal for a window that overflows, with the numbers. */
export function tooLong(budget: Budget, { needed }: NonNullable<Window['overflow']>): ContextLengthExceeded {
  const all = Math.ceil((needed + budget.spent) * budget.ratio)
  return new ContextLengthExceeded(
    `This model takes a prompt of at most ${budget.prompt} tokens beside the ${budget.reserved} reserved for the answer. ` +
      `The messages that must be sent and the tools need ${all}. Shorten the messages, or reserve less for the answer.`,
  )
}
