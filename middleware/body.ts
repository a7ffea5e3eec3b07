import type { IncomingMessage } from 'node:http'

import { InvalidRequest, Misconfigured, PayloadTooLarge } from '../lib/model/errors.js'
import { isObject, parseJson, type JsonObject } from '../lib/model/json.js'
import { show } from '../lib/model/rule.js'

const jsonType = /^application\/(?:json|[\w.+-]+\+json)\s*(?:;|$)/i

/**
 * The JSON body of a request: what the host's parser made of it, or read here where none was mounted. `undefined` when there is
 * no body. Only JSON is taken: a form of another site can send text without asking, JSON it cannot.
 */
export async function readJsonBody(
  request: IncomingMessage,
  parsed: unknown,
  maxBytes: number,
): Promise<unknown> {
  if (isRaw(parsed)) {
    return parseBytes(Buffer.from(parsed as string), request)
  }
  // A parser that does not take this body leaves {} behind in Express 4, and the body unread.
  if (parsed !== undefined && (wasRead(request) || !isEmpty(parsed))) {
    if (request.headers['content-type'] !== undefined) checkType(request)
    return parsed
  }
  if (!wasRead(request)) return parseBytes(await readBytes(request, maxBytes), request)
  if (hasBody(request)) throw readBefore()
  return undefined
}

/** A parsed body, also where the host's parser leaves text or bytes and the handler parses them. */
export function parsedJson(body: unknown): unknown {
  return isRaw(body) ? (parseJson(Buffer.from(body as string).toString()) ?? body) : body
}

/** The new body as the host's parser would have left it. */
export function asParsed(given: unknown, body: JsonObject): unknown {
  if (!isRaw(given)) return body
  const text = JSON.stringify(body)
  return typeof given === 'string' ? text : Buffer.from(text)
}

const isRaw = (body: unknown): body is string | Uint8Array =>
  typeof body === 'string' || body instanceof Uint8Array

/** A body without bytes ends without ever having been read from. */
const wasRead = (request: IncomingMessage): boolean => request.readableDidRead || request.readableEnded

/** Whether a request says that its body is JSON. */
export const isJson = ({
  'content-type': type,
}: {
  readonly [name: string]: string | string[] | undefined
}): boolean => typeof type === 'string' && jsonType.test(type)

const isEmpty = (parsed: unknown): boolean => isObject(parsed) && Object.keys(parsed).length === 0

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

const readBefore = (): Misconfigured =>
  new Misconfigured('The body was read before and left nowhere. Mount a JSON body parser there, or none.')

const tooLarge = (maxBytes: number): PayloadTooLarge =>
  new PayloadTooLarge(`The body must be at most ${maxBytes} bytes.`)

/** The bytes up to the cap. What comes after it is left to the server, which discards it once the response is out. */
function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return Promise.reject(tooLarge(maxBytes))
  return new Promise((resolve, reject) => {
    const early = (): void => reject(new InvalidRequest('The body ended early.'))
    if (request.destroyed) return early()
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBytes) chunks.push(chunk)
      else reject(tooLarge(maxBytes))
    })
    request.once('end', () => resolve(Buffer.concat(chunks)))
    // A client that goes away in the middle is no fault of the host's.
    request.once('error', early)
    request.once('close', early)
  })
}

function parseBytes(bytes: Buffer, request: IncomingMessage): unknown {
  if (bytes.length === 0) return undefined
  checkType(request)
  checkEncoding(request)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new InvalidRequest('The body is not valid JSON in UTF-8. Check quotes, commas and braces.')
  }
}

function checkType({ headers }: IncomingMessage): void {
  if (isJson(headers)) return
  throw new InvalidRequest(`Content-Type must be application/json, got ${show(headers['content-type'])}.`)
}

function checkEncoding({ headers }: IncomingMessage): void {
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding.toLowerCase() === 'identity') return
  throw new InvalidRequest(
    `A body with Content-Encoding ${show(encoding)} is not read here. Send it uncompressed.`,
  )
}
