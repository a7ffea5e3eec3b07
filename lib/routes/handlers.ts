import type { Preview } from '../completion/preview.js'
import type { ContextRequest } from '../completion/request.js'
import { InvalidRequest, SessionNotFound, TurnlogError } from '../model/errors.js'
import { isObject } from '../model/json.js'
import { mustBe, unknownField } from '../model/rule.js'
import { highestTurn } from '../model/turn.js'
import type { Messages } from '../sessions/messages.js'
import type { Sessions } from '../sessions/sessions.js'
import type { Turns } from '../sessions/turns.js'
import { nameOf, param, present, type Handler, type Methods } from './call.js'
import { createChangeHandlers } from './changes.js'
import { jsonResponse } from './problem.js'
import { readQuery } from './query.js'
import { contextJson, messageJson, pageJson, sessionFields, sessionJson, turnJson } from './representation.js'
import { loadChecks } from './schemas.js'
import type { PathName } from './table.js'

/** What the routes need of a Turnlog. */
export interface RouteParts {
  readonly sessions: Sessions
  readonly messages: Pick<Messages, 'list' | 'delete'>
  readonly turns: Turns
  readonly context: (request: ContextRequest) => Promise<Preview>
}

/** What each path does, by method. */
export function createHandlers({
  sessions,
  messages,
  turns,
  context,
}: RouteParts): Readonly<Record<PathName, Methods>> {
  const checks = loadChecks()

  const create: Handler = async ({ userId, body }) => {
    const sent = await body()
    const given = (await checks).create(sent === undefined ? {} : sent)
    const fields = { userId, id: given.session_id, ...sessionFields(given) }
    return jsonResponse(201, sessionJson(await sessions.create(fields)))
  }

  const list: Handler = async ({ userId, query }) => {
    const page = await sessions.list({ userId, ...(await checks).sessionPage(readQuery(query)) })
    return jsonResponse(200, pageJson(page, sessionJson))
  }

  const find: Handler = async (call) =>
    jsonResponse(200, sessionJson(present(await sessions.find(nameOf(call)))))

  const change: Handler = async (call) => {
    const fields = sessionFields((await checks).change(await call.body()))
    return jsonResponse(200, sessionJson(present(await sessions.change({ ...nameOf(call), ...fields }))))
  }

  const remove: Handler = async (call) => {
    const name = nameOf(call)
    if (!(await sessions.delete(name))) throw new SessionNotFound()
    return jsonResponse(200, { session_id: name.id, deleted: true })
  }

  const listMessages: Handler = async (call) => {
    const asked = (await checks).messagePage(readQuery(call.query))
    const page = await messages.list({ userId: call.userId, sessionId: param(call, 'id'), ...asked })
    return jsonResponse(200, pageJson(present(page), messageJson))
  }

  const findTurn: Handler = async (call) => {
    const turn = turnNumber(param(call, 'turn'))
    const record = await turns.find({ userId: call.userId, sessionId: param(call, 'id'), turn })
    if (record !== undefined) return jsonResponse(200, turnJson(record))
    present(await sessions.find(nameOf(call)))
    throw new TurnlogError('turn_not_found', 404, `The session has no turn ${turn}.`, { param: 'turn' })
  }

  const preview: Handler = async (call) => {
    const body = await call.body()
    if (!isObject(body)) throw new InvalidRequest('The body must be the JSON object of a completion request.')
    const { userId } = call
    return jsonResponse(200, contextJson(await context({ userId, sessionId: param(call, 'id'), body })))
  }

  return {
    sessions: { GET: list, POST: create },
    session: { GET: find, PUT: change, PATCH: change, DELETE: remove },
    ...createChangeHandlers(sessions, messages, checks),
    messages: { GET: listMessages },
    turn: { GET: findTurn },
    context: { POST: preview },
  }
}

/** What the path beside the sessions does, by method. */
export const createStatsHandlers = ({ sessions }: Pick<RouteParts, 'sessions'>): Methods => ({
  GET: async ({ userId, query }) => {
    const [unknown] = Object.keys(readQuery(query))
    if (unknown !== undefined)
      throw new InvalidRequest(unknownField(unknown, [], 'parameter'), { param: unknown.slice(0, 64) })
    return jsonResponse(200, { object: 'stats', ...(await sessions.stats({ userId })) })
  },
})

function turnNumber(given: string): number {
  const turn = /^[1-9]\d{0,9}$/.test(given) ? Number(given) : 0
  if (turn >= 1 && turn <= highestTurn) return turn
  throw new InvalidRequest(mustBe('turn', `an integer from 1 to ${highestTurn}`, given), { param: 'turn' })
}
