import type { NextFunction, Request, RequestHandler, Response } from 'express'

import type { Turn, Turnlog } from '../lib/index.js'
import { problem, type RouteResponse } from '../lib/routes/problem.js'
import { createRoutes, createStatsRoute, type Routes } from '../lib/routes/routes.js'
import { asParsed, parsedJson, readJsonBody } from './body.js'
import { exposedHeaders, prepareCompletion, type Prepared } from './completion.js'
import { chatHistoryOptions, pathBelow, type ChatHistoryOptions } from './chat-history-options.js'
import { checkBegin, rememberOptions, type AdapterOptions, type RememberOptions } from './options.js'
import { checkSessions, checkTurnlog, routeOptions, type RouteOptions } from './route-options.js'
import { watchPipe } from './pipe.js'
import { Presence } from './presence.js'
import { sessionIdOf, sessionIdPlace } from './session-id.js'
import { tap } from './tap.js'
import { resolveUser } from './user.js'
import { encodedAnswer, pipedRequest, unreadAnswer, undecodedAnswer, warnOnce } from './warning.js'

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- the way in which Express lets middleware add to its request
  namespace Express {
    interface Request {
      /** The turn that this request began: its messages, receipt and abort signal, `fail()` and `discard()`. */
      turnlog?: Turn
    }
  }
}

/**
 * History for one endpoint: mount it behind the JSON body parser and before the handler.
 *
 *     app.post('/v1/chat/completions', remember(turnlog, { userId: (req) => req.user?.id }), existingHandler)
 */
export function remember(turnlog: Pick<Turnlog, 'begin'>, given: RememberOptions<Request>): RequestHandler {
  checkBegin(turnlog)
  const options = rememberOptions(given)
  const onEncoded = warnOnce(encodedAnswer)
  const onUndecoded = warnOnce(undecodedAnswer)
  const onPiped = warnOnce(pipedRequest)
  const onUnread = warnOnce(unreadAnswer)

  return async function remember(req: Request, res: Response, next: NextFunction): Promise<void> {
    const presence = new Presence(options.onDisconnect)
    try {
      if (options.skip?.(req)) return next()
      const body = parsedJson(req.body)
      const prepared = await prepareCompletion(
        (request) => presence.during(res, () => turnlog.begin(request)),
        {
          body,
          headers: req.headers,
          sessionId: sessionIdOf(options.sessionId, {
            request: req,
            body,
            headers: req.headers,
            params: req.params,
          }),
          sessionIdPlace: sessionIdPlace(options.sessionId),
          userId: () => resolveUser(options.userId, req),
          signal: () => presence.signal,
        },
        options,
      )
      if (prepared.kind === 'turn') {
        req.turnlog = prepared.turn
        watchPipe(req, onPiped)
        tap(res, prepared.turn, {
          onDisconnect: options.onDisconnect,
          onGone: presence.leave,
          onEncoded,
          onUndecoded,
          onUnread,
        })
      }
      proceed(prepared, req, res, next)
    } catch (error) {
      if (!presence.ended(error)) answerError(error, res, next, options.onError)
    }
  }
}

/**
 * The REST routes of sessions, mountable anywhere. Paths that are not theirs go on to the host's next handler.
 *
 *     app.use('/chat/sessions', sessionRoutes(turnlog, { userId: (req) => req.user?.id }))
 */
export function sessionRoutes(turnlog: SessionTurnlog, given: RouteOptions<Request>): RequestHandler {
  checkTurnlog(turnlog)
  const answer = answerBy(createRoutes(turnlog), given)

  return async function sessionRoutes(req: Request, res: Response, next: NextFunction): Promise<void> {
    await answer(req.path, req, res, next)
  }
}

/**
 * How much of a user's there is, at one path: sessions, messages, tokens, bytes. `chatHistory` has it at `/chat/stats`.
 *
 *     app.get('/chat/stats', statsRoute(turnlog, { userId: (req) => req.user?.id }))
 */
export function statsRoute(
  turnlog: Pick<Turnlog, 'sessions'>,
  given: AdapterOptions<Request>,
): RequestHandler {
  checkSessions(turnlog)
  const answer = answerBy(createStatsRoute(turnlog), given)

  return async function statsRoute(req: Request, res: Response, next: NextFunction): Promise<void> {
    await answer('/', req, res, next)
  }
}

/**
 * All at once, at the default paths: the session routes, the user's counts and the history of completions.
 *
 *     app.use(chatHistory(turnlog, { userId: (req) => req.user?.id }))
 */
export function chatHistory(turnlog: Turnlog, given: ChatHistoryOptions<Request>): RequestHandler {
  const { sessionsPath, statsPath, completionsPath, routes, completions } = chatHistoryOptions(given)
  checkTurnlog(turnlog)
  const answer = answerBy(createRoutes(turnlog), routes)
  const stats = statsRoute(turnlog, routes)
  const begin = remember(turnlog, completions)

  return async function chatHistory(req: Request, res: Response, next: NextFunction): Promise<void> {
    if (req.path === completionsPath && req.method === 'POST') return begin(req, res, next) as Promise<void>
    if (pathBelow(statsPath, req.path) === '/') return stats(req, res, next) as Promise<void>
    const below = pathBelow(sessionsPath, req.path)
    if (below === undefined) return next()
    await answer(below, req, res, next)
  }
}

type SessionTurnlog = Pick<Turnlog, 'sessions' | 'messages' | 'turns' | 'context'>

/** Answers by the routes; `path` is what follows the mount. */
function answerBy(routes: Routes, given: RouteOptions<Request>) {
  const { userId, onError, maxBodyBytes } = routeOptions(given)

  return async (path: string, req: Request, res: Response, next: NextFunction): Promise<void> => {
    try {
      const response = await routes.handle({
        method: req.method,
        path,
        query: queryOf(req.url),
        userId: () => resolveUser(userId, req),
        body: () => readJsonBody(req, req.body, maxBodyBytes),
      })
      if (response === undefined) return next()
      // A time-out of the host's may have answered meanwhile.
      if (!res.headersSent) send(res, response)
    } catch (error) {
      answerError(error, res, next, onError)
    }
  }
}

/** As it came: what a host's query parser makes of it differs from host to host. */
function queryOf(url: string): string {
  const mark = url.indexOf('?')
  return mark === -1 ? '' : url.slice(mark + 1)
}

function proceed(prepared: Prepared, req: Request, res: Response, next: NextFunction): void {
  if (prepared.kind === 'untouched') return next()
  setHeaders(res, prepared.headers)
  if (prepared.kind === 'replay') return void res.status(200).end(prepared.body)
  req.body = asParsed(req.body, prepared.body)
  next()
}

function setHeaders(res: Response, headers: Readonly<Record<string, string>>): void {
  if (res.headersSent) return
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value)
  res.append('Access-Control-Expose-Headers', exposedHeaders)
}

/** Ours as OpenAI's envelope; everything else, and all of it with `onError: 'next'`, is the host's to answer. */
function answerError(error: unknown, res: Response, next: NextFunction, onError: 'respond' | 'next'): void {
  const response = onError === 'respond' ? problem(error) : undefined
  if (!response || res.headersSent) return next(error)
  send(res, response)
}

function send(res: Response, { status, headers, body }: RouteResponse): void {
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value)
  // Said here because HEAD has it too.
  res.setHeader('content-length', Buffer.byteLength(body))
  res.status(status).end(body)
}
