import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { isObject, type Turn, type Turnlog } from '../../lib/index.js'
import type { RememberOptions } from '../../middleware/options.js'
import { refusedBy } from '../replay/refusal.js'
import type { ProviderAnswer } from './answers.js'

/** What the handler of the test's host does with a request: it is told what the provider would be sent. */
export type Provider = (
  sent: Record<string, unknown>,
  turn: Turn | undefined,
) => ProviderAnswer | Promise<ProviderAnswer>

export interface HostSetup {
  /** Without it the host stands alone. */
  readonly turnlog?: Turnlog
  readonly provider: Provider
  readonly options?: Partial<Omit<RememberOptions<unknown>, 'userId' | 'sessionId' | 'skip'>>
  readonly skip?: (request: { get(name: string): string | undefined }) => boolean
  /** Where the request names its session. */
  readonly sessionId?:
    | 'body'
    | { header: string }
    | { param: string }
    | { cookie: string }
    | ((request: { get(name: string): string | undefined }) => string | undefined)
  /** The endpoint's route. Default `/v1/chat/completions`. */
  readonly path?: string
  /** The host's body parser, one of the framework's `parsers`; its first by default. */
  readonly parser?: string
  /** Something before Turnlog sends the head, with this content type. */
  readonly flushFirst?: string
  readonly compression?: 'outside' | 'inside'
  /** A handler of the test's own, in place of the ways. */
  readonly handler?: (
    body: Record<string, unknown>,
    res: ServerResponse,
    turn: Turn | undefined,
  ) => void | Promise<void>
}

/** What the host's provider answers; first of all it refuses what a real one would. A host's own format reaches none as it is. */
export async function askProvider(
  { provider, options }: HostSetup,
  body: Record<string, unknown>,
  turn: Turn | undefined,
): Promise<ProviderAnswer> {
  const isRead = turn !== undefined && isObject(body) && !Buffer.isBuffer(body)
  const name = options?.format?.name ?? 'openai-chat'
  const refused =
    isRead && (name === 'openai-chat' || name === 'anthropic-messages') ? refusedBy(name, body) : undefined
  return refused ?? (await provider(body, turn))
}

export interface RunningHost {
  readonly url: string
  stop(): Promise<void>
}

/** One version of one framework. */
export interface Framework {
  readonly name: string
  /** How a handler can give its answer; a request names one in `x-way`. */
  readonly ways: readonly string[]
  /** The body parsers of its ecosystem, those that leave text or bytes, and none. */
  readonly parsers: readonly string[]
  /** Those of the ways that can give a stream. */
  readonly streamWays: readonly string[]
  start(setup: HostSetup): Promise<RunningHost>
}

/** Cut without regard to events or characters. */
export function inPieces(text: string, size: number): Buffer[] {
  const bytes = Buffer.from(text)
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

/** What a pipe gives of an answer. */
export function piecesOf({ text, cutAt }: ProviderAnswer): Buffer[] {
  if (cutAt === undefined) return inPieces(text, 11)
  const bytes = Buffer.from(text)
  return [bytes.subarray(0, cutAt), bytes.subarray(cutAt)]
}

export async function listen(server: Server): Promise<RunningHost> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
