/** Why a prompt looks as it does. */
export interface Receipt {
  /** Messages of history that were put before the question, the pinned ones included. */
  readonly injected: number
  /** Messages of the history that was read which stayed out. Older ones that nobody read are not counted. */
  readonly dropped: number
  /** Tokens of the whole prompt, where the model is known. An estimate for what came before its encoding was loaded. */
  readonly tokens?: number
  /** Where the history was read. `none`: the request went on without it. */
  readonly source: 'memory' | 'redis' | 'postgres' | 'none'
  /** What kept messages out. */
  readonly trimmedBy?: 'messages' | 'tokens'
  /** Choices of the answer that were not stored: only the first is. */
  readonly choicesNotStored?: number
  /** What was changed so that the provider accepts the history; stored rows stay as they are. */
  readonly repaired?: readonly string[]
  /** Leading messages of the request that were recognised as history and not stored again. */
  readonly reconciled?: number
  /** Every turn up to this one stands in the prompt as a summary. */
  readonly summarized?: number
  /** `unknown_model`: nobody knows its limits, or it was not named, and messages alone are counted. */
  readonly degraded?: string
}
