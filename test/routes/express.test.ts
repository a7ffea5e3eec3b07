import { createServer } from 'node:http'

import express from 'express'
import express4 from 'express4'

import type { Turnlog } from '../../lib/index.js'
import { chatHistory, sessionRoutes, statsRoute } from '../../middleware/express.js'
import { listen, type AppOptions, type Framework } from './framework.js'
import { sessionRoutesSuite } from './suite.js'

/** Both versions have what we use of them in common. */
type Express = typeof express

const parsers = (framework: Express): Record<'json' | 'text' | 'lost', express.RequestHandler> => ({
  json: framework.json(),
  text: framework.text({ type: '*/*' }),
  lost: (req, _res, next) => {
    req.resume().once('end', () => next())
  },
})

function appOf(framework: Express, options: AppOptions, errors: unknown[]): express.Express {
  const { turnlog, mount = '/chat/sessions', parser = 'json', nesting = 'none', ...rest } = options
  const app = framework()
  if (parser !== 'none') app.use(parsers(framework)[parser])
  const { userId, onError = 'respond' } = rest
  app.use('/stats', statsRoute(turnlog, { userId, onError }))
  const routes = sessionRoutes(turnlog, rest)
  if (nesting === 'chatHistory') {
    app.use(chatHistory(turnlog as Turnlog, { ...rest, sessionsPath: mount }))
  }
  if (nesting === 'none') app.use(mount, routes)
  if (nesting === 'router') app.use('/:tenant', framework.Router().use(framework.Router().use(mount, routes)))
  if (nesting === 'app') app.use('/tenant', framework().use(mount, routes))
  app.use((req, res) => {
    res.status(404).json({ host: req.path })
  })
  const answersErrors: express.ErrorRequestHandler = (
    error: { status?: number; code?: string },
    _req,
    res,
    _next,
  ) => {
    errors.push(error)
    res.status(error.status ?? 500).json({ host: error.code ?? 'unknown' })
  }
  return app.use(answersErrors)
}

const frameworkOf = (name: string, framework: Express): Framework => ({
  name,
  start(options) {
    const errors: unknown[] = []
    return listen(createServer(appOf(framework, options, errors)), errors)
  },
})

sessionRoutesSuite(frameworkOf('Express 5', express))
sessionRoutesSuite(frameworkOf('Express 4', express4 as unknown as Express))
