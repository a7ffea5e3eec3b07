import { InvalidRequest, type TurnlogError } from '../model/errors.js'
import type { History } from '../model/history.js'
import type { HistoryMessage } from '../model/message.js'
import type { Receipt } from '../model/receipt.js'
import { budgetOf, tooLong, type Budget } from '../window/budget.js'
import { cutWindow, sumTokens, type Trim, type Window } from '../window/window.js'
import type { Format, Question } from '../wire/format.js'
import { adoptHistory, adoptions } from './adopt.js'
import type { Counted, Counting } from './counting.js'

export interface PromptRequest {
  readonly format: Format
  readonly asked: Question
  /** The question's messages with what is known of their counts. */
  readonly question: readonly HistoryMessage[]
  readonly history: History
  /** The running exchange that the question joins. */
  readonly exchange?: number
  readonly limit: number
  readonly trim: Trim
  readonly model: string | undefined
  readonly source: Receipt['source']
  /** Leading messages of the request that are stored already. */
  readonly reconciled: number
}

/** What is to be sent, and why. */
export interface CutPrompt {
  readonly window: Window
  readonly receipt: Receipt
  /** Why it cannot be sent. */
  readonly refusal: TurnlogError | undefined
  /** What the provider's own count can be held against; nothing where some of it is an estimate. */
  readonly counted: Counted | undefined
}

/** Cut the window for a question to what the session and the model allow. */
export async function cutPrompt(counting: Counting, request: PromptRequest): Promise<CutPrompt> {
  const { question, exchange, limit, trim, format } = request
  const { history, adopted } = adoptHistory(request.history, format)
  const budget = await findBudget(counting, request)
  const cut = cutWindow({
    history,
    question,
    limit,
    trim,
    pairs: format,
    ...(exchange !== undefined && { exchange }),
    ...(budget && { budget: budget.tokens }),
  })
  const put = adoptions([...cut.system, ...cut.history], adopted, format.name)
  const window = repair(put.length === 0 ? cut : { ...cut, repaired: [...put, ...cut.repaired] }, request)
  return {
    window,
    receipt: receiptOf(window, budget, request),
    refusal: refusalOf(window, budget),
    counted: countedOf(counting, request, window, budget),
  }
}

/** The window as its format's provider takes it. Leading messages that the request itself brings stay as they are. */
function repair(window: Window, { format, asked, model }: PromptRequest): Window {
  const brought = asked.system.length > 0
  const stored = { system: brought ? [] : window.system, messages: window.history }
  const { system, messages, repaired } = format.repair(stored, model)
  if (repaired.length === 0) return window
  const question = window.messages.slice(window.history.length)
  return {
    ...window,
    system: brought ? window.system : system,
    history: messages,
    messages: [...messages, ...question],
    injected:
      window.injected - stored.system.length - stored.messages.length + system.length + messages.length,
    repaired: [...window.repaired, ...repaired],
  }
}

async function findBudget(
  counting: Counting,
  { asked, question, model }: PromptRequest,
): Promise<Budget | undefined> {
  const limits = counting.limitsOf(model)
  if (!limits || model === undefined) return undefined
  const { outputTokens, tools = [] } = asked
  return budgetOf({
    limits,
    ...(outputTokens !== undefined && { outputTokens }),
    tools: await counting.tools(tools, limits.encoding),
    question: sumTokens(question),
    ratio: counting.ratioOf(model),
  })
}

const tokensOf = ({ tokens = 0 }: Window, { spent }: Budget): number => tokens + spent

function receiptOf(
  window: Window,
  budget: Budget | undefined,
  { source, reconciled, history }: PromptRequest,
): Receipt {
  const { injected, dropped, trimmedBy, repaired } = window
  const summarized = history.system.find(({ summarizes }) => summarizes !== undefined)?.summarizes
  return {
    injected,
    dropped,
    ...(budget && { tokens: Math.ceil(tokensOf(window, budget) * budget.ratio) }),
    source,
    ...(trimmedBy && { trimmedBy }),
    ...(repaired.length > 0 && { repaired }),
    ...(reconciled > 0 && { reconciled }),
    ...(summarized !== undefined && { summarized }),
    ...(!budget && { degraded: 'unknown_model' }),
  }
}

function refusalOf(
  { unanswered, orphaned, overflow }: Window,
  budget: Budget | undefined,
): TurnlogError | undefined {
  if (unanswered.length > 0) {
    return new InvalidRequest(
      `messages must bring a result for each tool call; missing: ${unanswered.join(', ')}.`,
      { param: 'messages' },
    )
  }
  if (orphaned.length > 0) {
    return new InvalidRequest(
      `messages brings a tool result whose tool call is not in this session or was answered before: ${orphaned.join(', ')}.`,
      { param: 'messages' },
    )
  }
  return overflow && budget ? tooLong(budget, overflow) : undefined
}

function countedOf(
  counting: Counting,
  { history, question, model }: PromptRequest,
  window: Window,
  budget: Budget | undefined,
): Counted | undefined {
  const limits = counting.limitsOf(model)
  if (!budget || !limits || model === undefined || !counting.isLoaded(limits.encoding)) return undefined
  const all = [history.system, question, ...history.turns.map(({ messages }) => messages)].flat()
  if (all.some(({ tokens }) => tokens === undefined)) return undefined
  return { model, tokens: tokensOf(window, budget) }
}
