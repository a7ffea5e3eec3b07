export { bearer, type BearerOptions, type BearerUser, type WithHeaders } from './auth/bearer.js'
export type { Algorithm, BearerKey, PublicKey, SecretKey } from './auth/keys.js'
export * from './model/errors.js'
export type { Preview } from './completion/preview.js'
export { withoutControls, type BeginRequest, type ContextRequest } from './completion/request.js'
export type { Recorder, Recording } from './completion/recorder.js'
export type { Summarize } from './completion/summarizing.js'
export type { AnswerDetails, Replayed, Stored, Turn } from './completion/turn.js'
export type { History, HistoryTurn } from './model/history.js'
export { isObject, type JsonObject } from './model/json.js'
export type { HistoryMessage, ListedMessage, Message, MessagePlace, TurnStatus } from './model/message.js'
export type * from './model/page.js'
export type * from './model/receipt.js'
export type * from './model/session.js'
export type { FinishedTurn, TurnRecord } from './model/turn.js'
export type { SessionLimits } from './sessions/limits.js'
export type { Appended, AppendMessages, ListMessages, Messages } from './sessions/messages.js'
export type {
  ChangeSession,
  CreateSession,
  ListSessions,
  SessionName,
  Sessions,
  UserId,
} from './sessions/sessions.js'
export type { Swept } from './sessions/sweeper.js'
export type { FindTurn, Turns } from './sessions/turns.js'
export { createTurnlog, type Turnlog } from './turnlog.js'
export type { TurnlogOptions } from './options.js'
export {
  modelLimitsFrom,
  type GivenLimits,
  type ModelLimits,
  type ModelLimitsOption,
} from './window/limits.js'
export type { Trim } from './window/window.js'
export type { FramingName } from './wire/framing.js'
export { hostFormat, type HostEvent, type HostFormatOptions, type HostQuestion } from './wire/host.js'
export { anthropicMessages } from './wire/anthropic.js'
export { openaiChat } from './wire/openai.js'
export type {
  Answer,
  AnswerReader,
  Format,
  Prompt,
  Repaired,
  Question,
  Reading,
  Replay,
  StreamEvent,
} from './wire/format.js'
