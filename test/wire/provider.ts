import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Answer } from '../../lib/wire/format.js'
import type { FinishedTurn } from '../../lib/model/turn.js'

/** A provider on the loopback that answers every request with the bytes it was given last. */
export interface Provider {
  readonly url: string
  answerWith(contentType: string, body: Uint8Array | string): void
  stop(): Promise<void>
}

export async function startProvider(): Promise<Provider> {
  let reply: { contentType: string; body: Uint8Array | string } = { contentType: 'text/plain', body: '' }
  const server = createServer((request, response) => {
    request.resume()
    response.setHeader('content-type', reply.contentType)
    response.end(reply.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    answerWith(contentType, body) {
      reply = { contentType, body }
    },
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The turn that holds an answer, as the store gives it back. */
export function aFinishedTurn(format: string, answer: Answer): FinishedTurn {
  const turn = { turn: 1, exchange: 1, status: 'done' as const }
  const createdAt = new Date(0)
  const messages = [{ role: 'user', content: 'Hello' }, ...answer.messages]
  return {
    ...turn,
    format,
    model: answer.model ?? null,
    responseId: answer.responseId ?? null,
    responseTime: answer.responseTime ?? null,
    finishReason: answer.finishReason ?? null,
    usage: answer.usage ?? null,
    receipt: null,
    createdAt,
    closedAt: createdAt,
    messages: messages.map((message, part) =>
      Object.assign({ id: `msg_1_${part}`, part, message, createdAt }, turn),
    ),
  }
}
