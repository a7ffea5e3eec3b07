import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A network before a Postgres that can be broken. */
export interface Proxy {
  readonly url: string
  /** The server gets the next message and commits; its answer is lost with the connection. */
  loseNextAnswer(): void
  /** The same for the next message that contains the text; `onLost` is called at once. */
  loseAnswerTo(text: string, onLost?: () => void): void
  /** Nothing passes any more, and nothing ends. */
  swallow(on: boolean): void
  /** Cut all connections and refuse new ones, or take them again. */
  refuse(on: boolean): void
  /** New connections go to another server. */
  lead(database: string): void
  stop(): Promise<void>
}

export async function startProxy(database: string): Promise<Proxy> {
  let target = new URL(database)
  const sockets = new Set<Socket>()
  let losing = false
  let unlucky: string | undefined
  let tell: (() => void) | undefined
  let swallowing = false
  let refusing = false
  const server = createServer((client) => {
    if (refusing) {
      client.destroy()
      return
    }
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    let isUnlucky = false
    client.on('data', (chunk) => {
      if (swallowing) return
      if (unlucky !== undefined && chunk.includes(unlucky)) {
        unlucky = undefined
        isUnlucky = true
      }
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      if (swallowing) return
      if (losing || isUnlucky) {
        losing = false
        client.destroy()
        if (isUnlucky) tell?.()
      } else client.write(chunk)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(database)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    loseNextAnswer: () => {
      losing = true
    },
    loseAnswerTo: (text, onLost) => {
      unlucky = text
      tell = onLost
    },
    lead: (other) => {
      target = new URL(other)
    },
    swallow: (on) => {
      swallowing = on
    },
    refuse: (on) => {
      refusing = on
      if (on) for (const socket of sockets) socket.destroy()
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
