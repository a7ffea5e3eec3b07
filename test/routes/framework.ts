import { once } from 'node:events'
import type { IncomingHttpHeaders, Server } from 'node:http'
import type { AddressInfo } from 'node:net'

import type { Turnlog } from '../../lib/index.js'
import type { UserIdAnswer } from '../../middleware/user.js'

/** A host application, in words that every framework understands. `/stats` has the counts. */
export interface AppOptions {
  readonly turnlog: Pick<Turnlog, 'sessions' | 'messages' | 'turns' | 'context'> & Partial<Turnlog>
  /** Where the routes are mounted. */
  readonly mount?: string
  /** What the host mounts before them: a JSON parser, one for text, one that reads the body and leaves it nowhere, or none. */
  readonly parser?: 'none' | 'json' | 'text' | 'lost'
  /** Mounted directly, on a router in a router below `/:tenant`, on an application below `/tenant`, or by `chatHistory`. */
  readonly nesting?: 'none' | 'router' | 'app' | 'chatHistory'
  readonly userId: (from: { readonly headers: IncomingHttpHeaders }) => UserIdAnswer | Promise<UserIdAnswer>
  readonly onError?: 'respond' | 'next'
  readonly maxBodyBytes?: number
}

/** A host application that listens. What it does not know it answers with 404 and `{"host": "<path>"}`. */
export interface Running {
  readonly url: string
  /** What reached the host's own error handler, which answers with its status and `{"host": "<code>"}`. */
  readonly errors: unknown[]
  stop(): Promise<void>
}

/** One version of one framework. */
export interface Framework {
  readonly name: string
  start(options: AppOptions): Promise<Running>
}

export async function listen(server: Server, errors: unknown[]): Promise<Running> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    errors,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
