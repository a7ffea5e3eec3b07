/** A warning of Node's that says itself once. */
export function warnOnce<Details extends unknown[]>(
  message: (...details: Details) => string,
): (...details: Details) => void {
  let warned = false
  return (...details) => {
    if (warned) return
    warned = true
    process.emitWarning(message(...details), { type: 'TurnlogWarning' })
  }
}

/** Their bytes pass, and only the very end waits for the commit. */
export const encodedAnswer = (encoding: string): string =>
  `Answers reach Turnlog encoded (${encoding}), so a stream's terminal event cannot wait for its commit. Mount compression before Turnlog.`

/** Their bytes pass unseen. */
export const undecodedAnswer = (encoding: string): string =>
  `Answers reach Turnlog encoded (${encoding}), which nothing here decodes, so they are not stored. Mount compression before Turnlog.`

/** Piping a request sends what is left of what it came with, never the history. */
export const pipedRequest = (): string =>
  'The request was piped on as it came, without its history: its body was read before. Send JSON.stringify(req.body) instead; with http-proxy-middleware, on: { proxyReq: fixRequestBody }.'

/** A status that says yes, and an answer that nobody remembers: most often a handler that answers in words of its own. */
export const unreadAnswer = (reason: string): string =>
  `An answer was not stored, and its turn has failed. ${reason} If the handler does not answer in the shape of its format, describe it with hostFormat.`
