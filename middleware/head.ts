import type { ServerResponse } from 'node:http'

/**
 * An end that waits has not sent its head, and code that runs after it (an error handler, a second answer) may still
 * write into that. Returns what brings the head back as it is now.
 */
export function keepHead(res: ServerResponse): () => void {
  if (res.headersSent) return () => undefined
  const { statusCode, statusMessage } = res
  const headers = res.getHeaders()
  return () => {
    if (res.headersSent) return
    res.statusCode = statusCode
    res.statusMessage = statusMessage
    for (const name of res.getHeaderNames()) if (headers[name] === undefined) res.removeHeader(name)
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined && res.getHeader(name) !== value) res.setHeader(name, value)
    }
  }
}
