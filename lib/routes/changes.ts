import { SessionNotFound } from '../model/errors.js'
import type { Messages } from '../sessions/messages.js'
import type { Sessions } from '../sessions/sessions.js'
import { nameOf, param, present, type Handler, type Methods } from './call.js'
import { jsonResponse } from './problem.js'
import { sessionJson } from './representation.js'
import type { Checks } from './schemas.js'

/** What changes what was said: clear, restore and fork a session, delete a message. */
export function createChangeHandlers(
  sessions: Sessions,
  messages: Pick<Messages, 'delete'>,
  checks: Promise<Pick<Checks, 'fork'>>,
): Readonly<Record<'clear' | 'restore' | 'fork' | 'message', Methods>> {
  const clear: Handler = async (call) => {
    if (!(await sessions.clear(nameOf(call)))) throw new SessionNotFound()
    return jsonResponse(200, sessionJson(present(await sessions.find(nameOf(call)))))
  }

  const restore: Handler = async (call) =>
    jsonResponse(200, sessionJson(present(await sessions.restore(nameOf(call)))))

  const fork: Handler = async (call) => {
    const sent = await call.body()
    const { until, session_name: name } = (await checks).fork(sent === undefined ? {} : sent)
    return jsonResponse(201, sessionJson(present(await sessions.fork({ ...nameOf(call), until, name }))))
  }

  const removeMessage: Handler = async (call) => {
    const message = param(call, 'message')
    const name = { userId: call.userId, sessionId: param(call, 'id'), message }
    if (!(await messages.delete(name))) throw new SessionNotFound()
    return jsonResponse(200, { id: message, deleted: true })
  }

  return {
    clear: { POST: clear },
    restore: { POST: restore },
    fork: { POST: fork },
    message: { DELETE: removeMessage },
  }
}
