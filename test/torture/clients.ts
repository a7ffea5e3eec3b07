import { randomUUID } from 'node:crypto'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

import { now, type Attempt, type Change } from './record.js'

/** One question as a client means it. */
export interface Operation {
  readonly id: string
  readonly session: string
  readonly question: string
  readonly key?: string
  readonly stream?: boolean
  readonly discards?: boolean
  /** The handler pipes its JSON, so that no header can say any more whether it was stored. */
  readonly pipes?: boolean
  /** Go away after so many milliseconds. */
  readonly leaveAfterMs?: number
  /** What the provider is to do, as its header. */
  readonly script?: string
  /** `leaves` goes away in the middle of the answer; `slow` takes a byte a second for a while, then the rest. */
  readonly reader?: 'leaves' | 'slow'
  /** How long the client waits, in milliseconds. */
  readonly longestMs?: number
  /** Further headers. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
  /** All of it came. */
  readonly isWhole: boolean
}

const longestMs = 20_000
export const userOf = (session: string): string => `user-${session.at(-1)}`

/** Sends requests and writes down what came of them. */
export class Clients {
  readonly attempts: Attempt[] = []
  readonly changes: Change[] = []
  /** Requests of any kind. */
  requests = 0
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity })

  /** One request for a completion at one server. */
  async attempt(url: string, operation: Operation): Promise<Attempt> {
    const id = `${operation.id}#${randomUUID().slice(0, 8)}`
    const sentAt = now()
    const reply = await this.#post(url, operation, id)
    const { session, question, key, discards } = operation
    const attempt: Attempt = {
      id,
      session,
      operation: operation.id,
      question,
      sentAt,
      endedAt: now(),
      ...(key !== undefined && { key }),
      ...(discards && { discards }),
      ...(reply ? outcomeOf(reply, operation) : { outcome: 'unknown' }),
    }
    this.attempts.push(attempt)
    return attempt
  }

  #post(url: string, operation: Operation, id: string): Promise<Reply | undefined> {
    const { session, question, key, stream, discards, pipes, script, headers, reader } = operation
    const body = { session_id: session, model: 'm', messages: [{ role: 'user', content: question }], stream }
    return this.send(url, 'POST', '/v1/chat/completions', {
      body,
      reader,
      longestMs: operation.leaveAfterMs ?? operation.longestMs,
      headers: {
        'x-user': userOf(session),
        'x-attempt': id,
        ...(key !== undefined && { 'idempotency-key': key }),
        ...(discards && { 'x-discard': '1' }),
        ...(script !== undefined && { 'x-script': script }),
        ...(pipes !== true && !stream && { 'x-whole': '1' }),
        ...headers,
      },
    })
  }

  async change(url: string, session: string, kind: Change['kind']): Promise<Change> {
    const sentAt = now()
    const path = `/chat/sessions/${session}${kind === 'clear' ? '/clear' : ''}`
    const reply = await this.send(url, kind === 'clear' ? 'POST' : 'DELETE', path, {
      headers: { 'x-user': userOf(session) },
    })
    const isDone = reply?.isWhole === true && reply.status === 200
    const change: Change = {
      session,
      kind,
      sentAt,
      endedAt: now(),
      outcome: isDone ? 'acknowledged' : 'unknown',
    }
    this.changes.push(change)
    return change
  }

  /** `undefined` when no head came. */
  send(url: string, method: string, path: string, options: RequestOptions): Promise<Reply | undefined> {
    this.requests++
    const body = options.body === undefined ? undefined : JSON.stringify(options.body)
    const headers = {
      ...options.headers,
      ...(body !== undefined && {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
      }),
    }
    const signal = AbortSignal.timeout(options.longestMs ?? longestMs)
    return new Promise((resolve) => {
      const request = httpRequest(url + path, { method, headers, agent: this.#agent, signal }, (response) => {
        void readReply(response, options.reader).then(resolve)
      })
      request.on('error', () => resolve(undefined))
      request.end(body)
    })
  }

  /** Close what is kept open for later requests. */
  end(): void {
    this.#agent.destroy()
  }
}

interface RequestOptions {
  readonly body?: object
  readonly headers: Record<string, string>
  readonly longestMs?: number | undefined
  readonly reader?: Operation['reader']
}

async function readReply(response: IncomingMessage, reader: Operation['reader']): Promise<Reply> {
  let body = ''
  let chunks = 0
  try {
    if (reader === 'slow') body = await sip(response.setEncoding('utf8'))
    for await (const chunk of response.setEncoding('utf8')) {
      body += chunk as string
      if (reader === 'leaves' && ++chunks === 3) break
    }
  } catch {
    // Cut off: what came is kept.
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body, isWhole: response.complete }
}

const slowSeconds = 15

/** The first bytes, one a second: the server's buffers fill up meanwhile. */
async function sip(response: IncomingMessage): Promise<string> {
  let sipped = ''
  for (let second = 0; second < slowSeconds; second++) {
    await sleep(1000)
    sipped += (response.read(1) as string | null) ?? ''
  }
  return sipped
}

type Outcome = Pick<Attempt, 'outcome' | 'turn' | 'answer' | 'replayed' | 'status'>

/** What a client may conclude from what it got. */
export function outcomeOf({ status, headers, body, isWhole }: Reply, { discards }: Operation): Outcome {
  const turnId = headers['x-turn-id']
  const known = {
    status,
    ...(turnId !== undefined && { turn: Number(turnId) }),
    ...(headers['idempotent-replayed'] !== undefined && { replayed: true }),
  }
  if (!isWhole || turnId === undefined) return { ...known, outcome: 'unknown' }
  const stored = headers['x-history-stored']
  if (discards && status === 200) return { ...known, outcome: stored === 'false' ? 'discarded' : 'unknown' }
  if (status === 500) return { ...known, outcome: stored === 'false' ? 'failed' : 'unknown' }
  if (status !== 200) return { ...known, outcome: 'unknown' }
  const answer = String(headers['content-type']).includes('event-stream')
    ? streamed(body)
    : plain(body, stored, known.replayed)
  return answer === undefined
    ? { ...known, outcome: 'unknown' }
    : { ...known, outcome: 'acknowledged', answer }
}

function plain(body: string, stored: string | string[] | undefined, replayed = false): string | undefined {
  if (stored !== 'true' && !replayed) return undefined
  const { choices } = JSON.parse(body) as { choices: { message: { content: string } }[] }
  return choices[0]!.message.content
}

/** A stream acknowledges by its terminal event, unless a comment says that nothing was stored. */
function streamed(body: string): string | undefined {
  if (!body.endsWith('data: [DONE]\n\n') || body.includes(': turnlog:')) return undefined
  return body
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => (JSON.parse(line.slice(6)) as { choices: { delta: { content?: string } }[] }).choices)
    .map(([choice]) => choice?.delta.content ?? '')
    .join('')
}

/** Repeat a question, as clients do, until it is acknowledged or the client has had enough. */
export async function insist(
  clients: Clients,
  urlOf: () => string,
  operation: Operation,
  { most, pauseMs }: { most: number; pauseMs: number },
): Promise<Attempt> {
  for (let count = 1; ; count++) {
    const attempt = await clients.attempt(
      urlOf(),
      count === 1 ? operation : { ...operation, leaveAfterMs: undefined },
    )
    if (attempt.outcome === 'acknowledged' || attempt.outcome === 'discarded' || count === most)
      return attempt
    // Gone for good.
    if (attempt.status === 404) return attempt
    await sleep(pauseMs * (0.5 + Math.random()))
  }
}
