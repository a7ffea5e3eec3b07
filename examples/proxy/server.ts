/**
 * Express and http-proxy-middleware: no handler of its own at all.
 * Environment: PORT (8000), DATABASE_URL (else in memory), UPSTREAM_URL (ending in /v1), UPSTREAM_API_KEY.
 */
import express from 'express'
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware'
import { createTurnlog } from 'turnlog'
import { chatHistory } from 'turnlog/express'

const turnlog = createTurnlog({ database: process.env['DATABASE_URL'] ?? 'memory' })
const provider = createProxyMiddleware({
  target: process.env['UPSTREAM_URL'],
  changeOrigin: true,
  on: {
    proxyReq: (request, req) => {
      request.setHeader('authorization', `Bearer ${process.env['UPSTREAM_API_KEY'] ?? ''}`)
      // The parser has read the body, and Turnlog has put the history into it: this sends it anew.
      fixRequestBody(request, req)
    },
  },
})

const app = express()
app.use(express.json())
// The header stands for your own auth.
app.use(chatHistory(turnlog, { userId: (req) => req.get('x-user') }))
app.use('/v1', provider)

const server = app.listen(Number(process.env['PORT'] ?? 8000), '127.0.0.1', () =>
  console.log('listens on', server.address()),
)
process.once('SIGTERM', () => void stop())

async function stop(): Promise<void> {
  server.close()
  await turnlog.close()
  server.closeAllConnections()
}
