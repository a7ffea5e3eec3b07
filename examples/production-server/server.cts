/** The service on its port: PORT (8000). */
import service = require('./app.cjs')

const { app, logger } = service

const server = app.listen(Number(process.env['PORT'] ?? 8000), '127.0.0.1', () =>
  logger.info({ address: server.address() }, 'listening'),
)

async function stop(): Promise<void> {
  server.close()
  await service.stop()
  server.closeAllConnections()
}
process.once('SIGTERM', () => void stop())
