import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A request as bytes on a socket, and the response as bytes: what no client library tells. */
export interface RawExchange {
  readonly socket: Socket
  /** Everything received so far. */
  received(): string
  /** Resolves when what was received contains the text, or the connection has ended. */
  until(text: string): Promise<string>
  readonly ended: Promise<string>
}

export function rawPost(
  url: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): RawExchange {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const lines = Object.entries({
    Host: 'host.test',
    Connection: 'close',
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
  let received = ''
  socket.on('data', (bytes: Buffer) => (received += bytes.toString('latin1')))
  socket.on('error', () => undefined)
  const ended = once(socket, 'close').then(() => received)
  const until = async (text: string): Promise<string> => {
    while (!received.includes(text) && !socket.closed) await Promise.race([once(socket, 'data'), ended])
    return received
  }
  return { socket, received: () => received, until, ended }
}

/** A response without what the clock or the run puts in it. */
export const withoutDate = (response: string): string => response.replace(/^Date: .*\r\n/m, '')
