import { createServer, type Server } from 'node:http'

import type Koa from 'koa'

/** An application as Node's server, for a test to listen with. */
export function serverOf(app: Koa): Server {
  const answer = app.callback()
  return createServer((req, res) => void answer(req, res))
}
