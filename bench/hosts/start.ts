import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'

import { cpuOf } from '../stage.js'

export interface HostSettings {
  readonly framework: 'express' | 'koa'
  /** Absent: without Turnlog. */
  readonly database?: string
  readonly redis?: string
  /** The provider's port. */
  readonly provider: number
}

/** A server in a process of its own. */
export interface Running {
  readonly port: number
  /** Processor time so far, in microseconds. */
  cpu(): number
  /** What its heap holds after a collection, in bytes. */
  memory(): Promise<number>
  stop(): Promise<void>
}

export const startProvider = (): Promise<Running> => start('provider.ts', [])

/** `flags` are Node's, beside those that it always has. */
export const startHost = (settings: HostSettings, flags: readonly string[] = []): Promise<Running> =>
  start('host.ts', [JSON.stringify(settings)], flags)

async function start(file: string, args: readonly string[], flags: readonly string[] = []): Promise<Running> {
  const child = fork(join(import.meta.dirname, file), args, {
    execArgv: ['--import', 'tsx', '--expose-gc', ...flags],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const { port } = await answerOf<{ port: number }>(child)
  return {
    port,
    cpu: () => cpuOf(child.pid!),
    memory: async () => {
      child.send('memory')
      return (await answerOf<{ bytes: number }>(child)).bytes
    },
    stop: async () => {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

async function answerOf<Answer>(child: ChildProcess): Promise<Answer> {
  const [answer] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => {
      throw new Error('A server of the benchmark did not start.')
    }),
  ])) as [Answer]
  return answer
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

/** The response, once its head is there. */
export function post(port: number, path: string, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const outgoing = request({ port, host: '127.0.0.1', agent, path, method: 'POST', headers }, resolve)
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** A response's bytes, counted. Rejects where it is no success. */
export async function drain(response: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const chunk of response) bytes += (chunk as Buffer).length
  if (response.statusCode !== 200) throw new Error(`A host answered ${response.statusCode}.`)
  return bytes
}
