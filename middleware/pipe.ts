import type { IncomingMessage } from 'node:http'

/** What a request may be piped to: a request to a provider has headers. */
interface Destination {
  getHeader?(name: string): unknown
  once(event: 'finish', listener: () => void): unknown
}

/**
 * A request's body has been parsed by the time its turn begins, so piping the request sends what it came with at best: never the
 * history. Says so when it happens; the proxy that writes the new body beside its pipe changes the length, and is left alone.
 */
export function watchPipe(req: IncomingMessage, warn: () => void): void {
  const pipe = req.pipe.bind(req)
  req.pipe = function watched<To extends NodeJS.WritableStream>(to: To, options?: { end?: boolean }): To {
    const destination: Destination = to
    if (!destination.getHeader) warn()
    else destination.once('finish', () => void (isAsItCame(req, destination) && warn()))
    return pipe(to, options)
  }
}

function isAsItCame(req: IncomingMessage, destination: Destination): boolean {
  const length = destination.getHeader?.('content-length')
  return length === undefined || Number(length) === Number(req.headers['content-length'])
}
