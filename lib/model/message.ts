/** A chat message as it was parsed from JSON. Whatever its provider's format puts in it survives: parts, tool calls, unknown fields. */
export interface Message {
  readonly role: string
  readonly [field: string]: unknown
}

/** Whether a message is pinned to the front of every prompt where it leads a request. */
export const isPinned = ({ role }: Message): boolean => role === 'system' || role === 'developer'

/** What a turn's status says of its answer. Only `done` is complete; `open` is still being answered. */
export type TurnStatus = 'open' | 'done' | 'interrupted' | 'failed' | 'superseded'

/** A message of the history: the message and its token count, absent where nobody counted yet. */
export interface HistoryMessage {
  readonly message: Message
  readonly tokens?: number
  /** A pinned message that stands for every exchange up to this one. */
  readonly summarizes?: number
}

/** A message as it is listed, with its place in the session and the status of its turn. */
export interface ListedMessage extends HistoryMessage {
  /** `msg_<turn>_<part>`, unique within the session. */
  readonly id: string
  readonly turn: number
  readonly part: number
  readonly exchange: number
  readonly status: TurnStatus
  readonly createdAt: Date
}

/** The message that stands for every exchange up to `to`. */
export const summaryMessage = (text: string, to: number): Message => ({
  role: 'system',
  content: `Summary of turns 1 to ${to} of this conversation:\n\n${text}`,
})

export const messageId = (turn: number, part: number): string => `msg_${turn}_${part}`

/** A message's place by its id; `undefined` for what is no id. */
export function readMessageId(id: unknown): MessagePlace | undefined {
  const [, turn, part] = (typeof id === 'string' && /^msg_([1-9]\d{0,8})_(0|[1-9]\d{0,8})$/.exec(id)) || []
  return turn === undefined ? undefined : { turn: Number(turn), part: Number(part) }
}

/** A message's place within its session. */
export interface MessagePlace {
  readonly turn: number
  readonly part: number
}

/** The readable text of a message's content: for people, listings and search. Parts that are not text stand as `[type]`. */
export function readableText(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map(partText).join('\n')
}

function partText(part: unknown): string {
  if (typeof part === 'string') return part
  if (typeof part !== 'object' || part === null) return ''
  const { type, text, refusal } = part as { type?: unknown; text?: unknown; refusal?: unknown }
  if (typeof text === 'string') return text
  if (typeof refusal === 'string') return refusal
  return typeof type === 'string' ? `[${type}]` : ''
}
