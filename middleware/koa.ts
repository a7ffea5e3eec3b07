import type { Context, Middleware, Next } from 'koa'

import type { Turn, Turnlog } from '../lib/index.js'
import { problem, type RouteResponse } from '../lib/routes/problem.js'
import { createRoutes, createStatsRoute, type Routes } from '../lib/routes/routes.js'
import { asParsed, parsedJson, readJsonBody } from './body.js'
import { chatHistoryOptions, pathBelow, type ChatHistoryOptions } from './chat-history-options.js'
import { exposedHeaders, prepareCompletion, type Prepared } from './completion.js'
import { passAnswer } from './koa-answer.js'
import { mountOf, mountedRouteOptions, type MountedRouteOptions } from './koa-mount.js'
import { checkBegin, rememberOptions, type AdapterOptions, type RememberOptions } from './options.js'
import { checkSessions, checkTurnlog, routeOptions, type RouteOptions } from './route-options.js'
import { watchPipe } from './pipe.js'
import { Presence } from './presence.js'
import { sessionIdOf, sessionIdPlace, type SessionIdPlaces } from './session-id.js'
import { tap } from './tap.js'
import { resolveUser } from './user.js'
import { encodedAnswer, pipedRequest, unreadAnswer, undecodedAnswer, warnOnce } from './warning.js'

declare module 'koa' {
  interface DefaultState {
    /** The turn that this request began: its messages, receipt and abort signal, `fail()` and `discard()`. */
    turnlog?: Turn
  }
}

type SessionTurnlog = Pick<Turnlog, 'sessions' | 'messages' | 'turns' | 'context'>

/**
 * History for one endpoint: mount it behind the JSON body parser and before the handler.
 *
 *     router.post('/v1/chat/completions', remember(turnlog, { userId: (ctx) => ctx.state.user?.id }), existingHandler)
 */
export function remember(turnlog: Pick<Turnlog, 'begin'>, given: RememberOptions<Context>): Middleware {
  checkBegin(turnlog)
  const options = rememberOptions(given)
  const onEncoded = warnOnce(encodedAnswer)
  const onUndecoded = warnOnce(undecodedAnswer)
  const onPiped = warnOnce(pipedRequest)
  const onUnread = warnOnce(unreadAnswer)

  return async function remember(ctx: Context, next: Next): Promise<void> {
    if (options.skip?.(ctx)) return next()
    const presence = new Presence(options.onDisconnect)
    let prepared: Prepared
    try {
      const body = parsedJson(parsedBody(ctx))
      prepared = await prepareCompletion(
        (request) => presence.during(ctx.res, () => turnlog.begin(request)),
        {
          body,
          headers: ctx.headers,
          sessionId: sessionIdOf(options.sessionId, {
            request: ctx,
            body,
            headers: ctx.headers,
            params: paramsOf(ctx),
          }),
          sessionIdPlace: sessionIdPlace(options.sessionId),
          userId: () => resolveUser(options.userId, ctx),
          signal: () => presence.signal,
        },
        options,
      )
    } catch (error) {
      return presence.ended(error) ? undefined : answerError(error, ctx, options.onError)
    }
    if (prepared.kind === 'untouched') return next()
    setHeaders(ctx, prepared.headers)
    if (prepared.kind === 'replay') return send(ctx, { status: 200, headers: {}, body: prepared.body })
    setParsedBody(ctx, asParsed(parsedBody(ctx), prepared.body))
    if (prepared.kind === 'bypass') return next()
    watchPipe(ctx.req, onPiped)
    await runTurn(ctx, next, prepared.turn, {
      onDisconnect: options.onDisconnect,
      onGone: presence.leave,
      onEncoded,
      onUndecoded,
      onUnread,
    })
  }
}

/**
 * The REST routes of sessions, below koa-mount, on a router or, with `prefix`, on the application. Paths that are not theirs go
 * on to the host's next middleware.
 *
 *     app.use(mount('/chat/sessions', sessionRoutes(turnlog, { userId: (ctx) => ctx.state.user?.id })))
 */
export function sessionRoutes(turnlog: SessionTurnlog, given: MountedRouteOptions<Context>): Middleware {
  const { prefix, routes } = mountedRouteOptions(given)
  checkTurnlog(turnlog)
  const answer = answerBy(createRoutes(turnlog), routes)

  return async function sessionRoutes(ctx: Context, next: Next): Promise<void> {
    const path = mountOf(ctx, prefix)
    return path === undefined ? next() : answer(path, ctx, next)
  }
}

/**
 * How much of a user's there is, at one path: sessions, messages, tokens, bytes. `chatHistory` has it at `/chat/stats`.
 *
 *     router.get('/chat/stats', statsRoute(turnlog, { userId: (ctx) => ctx.state.user?.id }))
 */
export function statsRoute(turnlog: Pick<Turnlog, 'sessions'>, given: AdapterOptions<Context>): Middleware {
  checkSessions(turnlog)
  const answer = answerBy(createStatsRoute(turnlog), given)

  return async function statsRoute(ctx: Context, next: Next): Promise<void> {
    await answer('/', ctx, next)
  }
}

/**
 * All at once, at the default paths: the session routes, the user's counts and the history of completions.
 *
 *     app.use(chatHistory(turnlog, { userId: (ctx) => ctx.state.user?.id }))
 */
export function chatHistory(turnlog: Turnlog, given: ChatHistoryOptions<Context>): Middleware {
  const { sessionsPath, statsPath, completionsPath, routes, completions } = chatHistoryOptions(given)
  checkTurnlog(turnlog)
  const answer = answerBy(createRoutes(turnlog), routes)
  const stats = statsRoute(turnlog, routes)
  const begin = remember(turnlog, completions)

  return async function chatHistory(ctx: Context, next: Next): Promise<void> {
    if (ctx.path === completionsPath && ctx.method === 'POST') return begin(ctx, next) as Promise<void>
    if (pathBelow(statsPath, ctx.path) === '/') return stats(ctx, next) as Promise<void>
    const below = pathBelow(sessionsPath, ctx.path)
    return below === undefined ? next() : answer(below, ctx, next)
  }
}

/** Run the handler and record its answer, wherever it puts it: in `ctx.body`, or in the response itself. */
async function runTurn(
  ctx: Context,
  next: Next,
  turn: Turn,
  options: Parameters<typeof tap>[2],
): Promise<void> {
  ctx.state.turnlog = turn
  const tapped = tap(ctx.res, turn, options)
  try {
    await next()
    if (ctx.respond === false) return
    // Koa ends what it does not know to have ended; the handler's own end, which waits for the commit, came first and counts.
    if (tapped.used) return
    tapped.letGo()
    await passAnswer(ctx, turn, options)
  } catch (error) {
    await (ctx.headerSent ? turn.interrupt() : turn.fail(error))
    throw error
  }
}

/** Answers by the routes; `path` is what follows the mount. */
function answerBy(routes: Routes, given: RouteOptions<Context>) {
  const { userId, onError, maxBodyBytes } = routeOptions(given)

  return async (path: string, ctx: Context, next: Next): Promise<void> => {
    let response: RouteResponse | undefined
    try {
      response = await routes.handle({
        method: ctx.method,
        path,
        query: ctx.querystring,
        userId: () => resolveUser(userId, ctx),
        body: () => readJsonBody(ctx.req, parsedBody(ctx), maxBodyBytes),
      })
    } catch (error) {
      return answerError(error, ctx, onError)
    }
    if (response === undefined) return next()
    send(ctx, response)
  }
}

/** Where every router puts them. */
const paramsOf = (ctx: Context): SessionIdPlaces<Context>['params'] =>
  ctx.params as SessionIdPlaces<Context>['params']

/** Where every body parser of Koa puts it. */
const parsedBody = (ctx: Context): unknown => (ctx.request as { body?: unknown }).body

function setParsedBody(ctx: Context, body: unknown): void {
  const request = ctx.request as { body?: unknown }
  request.body = body
}

function setHeaders(ctx: Context, headers: Readonly<Record<string, string>>): void {
  if (ctx.headerSent) return
  ctx.set(headers)
  ctx.append('Access-Control-Expose-Headers', exposedHeaders)
}

/** Ours as OpenAI's envelope; everything else, and all of it with `onError: 'next'`, is thrown for the host to answer. */
function answerError(error: unknown, ctx: Context, onError: 'respond' | 'next'): void {
  const response = onError === 'respond' ? problem(error) : undefined
  if (!response || ctx.headerSent) throw error
  send(ctx, response)
}

function send(ctx: Context, { status, headers, body }: RouteResponse): void {
  // A time-out of the host's may have answered meanwhile.
  if (ctx.headerSent) return
  ctx.status = status
  ctx.set(headers)
  ctx.body = body
}
