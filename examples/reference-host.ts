/** What the reference hosts have in common: they listen, say how to use them, and stop. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

import jwt from 'jsonwebtoken'
import type { Turnlog } from 'turnlog'

/** How long running answers may take to finish once the process is told to stop. */
const drainMs = 10_000

/** How long the last bytes may take to leave once every turn has ended. */
const lastBytesMs = 1_000

/** A setting from the environment; one that is set to nothing is not set. */
export function setting(name: string): string | undefined {
  const value = process.env[name]
  return value === '' ? undefined : value
}

export async function runReferenceHost(
  framework: string,
  server: Server,
  turnlog: Turnlog,
  secret: string,
): Promise<void> {
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= stopHost(server, turnlog))
  process.once('SIGTERM', () => void stop())
  process.once('SIGINT', () => void stop())
  try {
    await listen(server)
    await turnlog.ready()
    printUsage(framework, server, secret)
  } catch (fault) {
    console.error(described(fault as Error))
    process.exitCode = 1
    await stop()
  }
}

const listen = (server: Server): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject).listen(Number(setting('PORT') ?? 8000), '127.0.0.1', resolve)
  })

/** What failed, and what is behind it: a driver's own words, which no client ever gets. */
function described({ message, cause }: Error): string {
  const { code, message: reason } = (cause ?? {}) as { code?: string; message?: string }
  const behind = [code, reason].filter(Boolean).join(' ')
  return behind === '' ? message : `${message} (${behind})`
}

async function stopHost(server: Server, turnlog: Turnlog): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  await turnlog.close({ drainMs })
  // The turns are stored; the last bytes of their answers may still be on their way.
  await Promise.race([closed, sleep(lastBytesMs, undefined, { ref: false })])
  server.closeAllConnections()
}

function printUsage(framework: string, server: Server, secret: string): void {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const token = jwt.sign({ sub: 'demo-user' }, secret, { expiresIn: '12h' })
  const session = `demo-${Date.now().toString(36)}`
  const curl = (path: string, body?: object): string =>
    `curl -s ${path === '/v1/chat/completions' ? '-N ' : ''}${url}${path} -H "authorization: Bearer $TOKEN"` +
    (body ? ` -H 'content-type: application/json' -d '${JSON.stringify(body)}'` : '') +
    '; echo'
  const ask = (content: string, stream?: true): string =>
    curl('/v1/chat/completions', {
      session_id: session,
      model: 'demo',
      messages: [{ role: 'user', content }],
      ...(stream && { stream }),
    })
  console.log(`Turnlog's reference host (${framework}) listens on ${url}

export TOKEN=${token}

# create a session
${curl('/chat/sessions', { session_id: session, session_name: 'My first session' })}
# ask
${ask('My cat is called Ada.')}
# ask again: the answer quotes the first message, which this request does not carry
${ask('What is my cat called?')}
# list the messages
${curl(`/chat/sessions/${session}/messages`)}
# stream
${ask('And as a stream?', true)}`)
}
