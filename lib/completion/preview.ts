import { SessionNotFound } from '../model/errors.js'
import { copyJson } from '../model/copy.js'
import type { JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { Receipt } from '../model/receipt.js'
import type { SessionSettings, Store } from '../store/store.js'
import type { Trim } from '../window/window.js'
import {
  answersOf,
  modelOf,
  promptBody,
  readAsked,
  sessionOf,
  type Asked,
  type AskedOptions,
} from './asked.js'
import type { Counting } from './counting.js'
import { cutPrompt, type CutPrompt } from './prompt.js'
import { reconcileAsked, type ReconcileOptions } from './reconcile.js'
import { refusal } from './refusal.js'
import type { ContextRequest } from './request.js'
import { pinnedBy, withoutFrom } from './visible.js'

export interface PreviewOptions extends AskedOptions {
  readonly trim: Trim
  readonly reconcile: ReconcileOptions
}

/** What a completion would send. */
export interface Preview {
  readonly messages: readonly Message[]
  /** The stored part of `messages`, pinned messages included. */
  readonly history: readonly Message[]
  /** The request body with the prompt in its place, where a body was given. */
  readonly body: JsonObject | undefined
  readonly receipt: Receipt
}

/** The dry run of a begin. */
export class Previewing {
  constructor(
    private readonly store: Pick<Store, 'readHistory'>,
    private readonly counting: Counting,
    private readonly options: PreviewOptions,
  ) {}

  /** What a begin of this request would send, and why. Writes nothing. Rejects as the begin would. */
  async preview(request: ContextRequest): Promise<Preview> {
    const asked = readAsked(request, this.options)
    const { question, format } = asked
    const asking = { ...sessionOf(asked), limit: request.maxHistoryMessages }
    const read = await this.store.readHistory(asking)
    if (!read) throw new SessionNotFound()
    const reconciled = reconcileAsked(asked, read.history, this.options.reconcile)
    const joins = answersOf(format, reconciled.messages)
    const joined = joins.length === 0 ? read : await this.store.readHistory({ ...asking, joins })
    if (!joined) throw new SessionNotFound()
    if (joins.length > 0 && joined.exchange === undefined) throw refusal({ status: 'orphaned' })
    const { settings } = joined
    const { replaces } = reconciled
    const history = withoutFrom(joined.history, replaces === 'last' ? undefined : replaces)
    const model = modelOf(asked, settings)
    const cut = await cutPrompt(this.counting, {
      format,
      asked: question,
      history: pinnedBy(history, await this.counting.counted(question.system, model)),
      question: await this.counting.counted(reconciled.messages, model),
      exchange: joined.exchange,
      limit: request.maxHistoryMessages ?? settings.maxHistoryMessages,
      trim: this.options.trim,
      model,
      source: 'postgres',
      reconciled: reconciled.known,
    })
    if (cut.refusal) throw cut.refusal
    return previewOf(asked, cut, settings)
  }
}

function previewOf(asked: Asked, { window, receipt }: CutPrompt, { model }: SessionSettings): Preview {
  const { system, messages } = copyJson({ system: window.system, messages: window.messages })
  return {
    messages: [...system, ...messages],
    history: [...system, ...messages.slice(0, window.history.length)],
    body: asked.body && promptBody(asked, { system, messages }, model),
    receipt,
  }
}
