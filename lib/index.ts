export { bearer, type BearerOptions, type BearerUser, type WithHeaders } from './auth/bearer.js'
export type { Algorithm, BearerKey, PublicKey, SecretKey } from './auth/keys.js'
export * from './model/errors.js'
export type * from './model/history.js'
export type * from './model/message.js'
export type * from './model/page.js'
export type * from './model/receipt.js'
export type * from './model/session.js'
export type * from './model/turn.js'
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
export type { FindTurn, Turns } from './sessions/turns.js'
