/**
 * A service as it is found in production: CommonJS, JSON Web Tokens, pino, helmet, compression, a pool for PgBouncer, a Redis Cluster,
 * and a test in Jest. Environment: DATABASE_URL, REDIS_NODES (`host:port`, by commas), JWT_SECRET, UPSTREAM_URL (ending in /v1), UPSTREAM_API_KEY.
 */
import compression = require('compression')
import express = require('express')
import helmet = require('helmet')
import knex = require('knex')
import pino = require('pino')
import pinoHttp = require('pino-http')
import turnlogModule = require('turnlog')
import turnlogExpress = require('turnlog/express')
import stream = require('node:stream/promises')
import nodeStream = require('node:stream')

const { DATABASE_URL, REDIS_NODES, JWT_SECRET = '', UPSTREAM_URL, UPSTREAM_API_KEY } = process.env
const logger = pino.pino({ level: 'info', redact: ['req.headers.authorization'] })

// PgBouncer pools by transaction, so a few connections are enough for each of many pods, and none is kept while idle. It takes no
// other parameters at the start of a connection than `application_name` and a few more: no `statement_timeout` here.
const database = knex.knex({
  client: 'pg',
  connection: { connectionString: DATABASE_URL, application_name: 'chat' },
  pool: { min: 0, max: 5, idleTimeoutMillis: 10_000 },
})
const turnlog = turnlogModule.createTurnlog({
  database,
  redis: REDIS_NODES === undefined ? undefined : { nodes: REDIS_NODES.split(',') },
  onFault: (error, context) => logger.error({ err: error, ...context }, 'history'),
  onCacheState: (state) => logger.warn({ state }, 'cache'),
})

const app = express()
app.use(pinoHttp.pinoHttp({ logger }))
app.use(helmet.default())
// Before Turnlog, which then sees plain bytes. A stream that waits in a compressor is no stream.
app.use(compression({ filter: (req, res) => !isStream(res) && compression.filter(req, res) }))
app.get('/livez', (_req, res) => void res.json({ status: 'ok' }))
app.get('/readyz', (_req, res, next) => {
  turnlog.ready().then(() => res.json({ status: 'ok' }), next)
})
app.use(express.json({ limit: '1mb' }))
app.use(
  turnlogExpress.chatHistory(turnlog, {
    userId: turnlogModule.bearer({ secret: JWT_SECRET }),
    onUnavailable: 'bypass',
  }),
)
// Express 5 gives what it rejects with to the error handler.
app.post('/v1/chat/completions', forward)

const isStream = (res: express.Response): boolean =>
  String(res.getHeader('content-type')).startsWith('text/event-stream')

async function forward(req: express.Request, res: express.Response): Promise<void> {
  const answer = await fetch(`${UPSTREAM_URL}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${UPSTREAM_API_KEY ?? ''}` },
    body: JSON.stringify(req.body),
    signal: req.turnlog?.signal,
  })
  res.status(answer.status).type(answer.headers.get('content-type') ?? 'application/json')
  if (answer.body) await stream.pipeline(nodeStream.Readable.fromWeb(answer.body), res)
  else res.end()
}

/** Begin no more, let running answers end, and let go of the database. */
async function stop(): Promise<void> {
  await turnlog.close({ drainMs: 10_000 })
  await database.destroy()
}

export = { app, logger, stop }
