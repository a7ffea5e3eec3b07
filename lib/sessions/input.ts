import { InvalidRequest } from '../model/errors.js'
import { checkSessionId, checkUserId } from '../model/identity.js'
import type { Fault } from '../model/rule.js'
import type { SessionKey } from '../model/session.js'

/** A wrong argument is the caller's fault. */
export const invalid: Fault = (message, param) => new InvalidRequest(message, { param })

/** The session that an argument names, both ids checked. */
export const sessionKey = (userId: unknown, sessionId: unknown): SessionKey => ({
  userId: checkUserId(userId),
  sessionId: checkSessionId(sessionId),
})
