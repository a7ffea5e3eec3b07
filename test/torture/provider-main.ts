/** A provider in a process of its own: it writes down every prompt that reaches it and answers each with other words. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

import type { ProviderTask, Script } from './provider.js'
import { now, type Prompt, type Said } from './record.js'

const task = JSON.parse(process.argv[2]!) as ProviderTask
const prompts: Prompt[] = []
let answers = 0

interface Body {
  readonly stream?: boolean
  readonly messages: readonly { role: string; content: string }[]
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { stream, messages } = JSON.parse(await text(request)) as Body
  const attempt = headerOf(request, 'x-attempt')
  const number = ++answers
  const script = JSON.parse(headerOf(request, 'x-script') || '{}') as Script
  const words = `answer ${number} to ${attempt}${'.'.repeat(script.length ?? 0)}`
  prompts.push({
    attempt,
    session: headerOf(request, 'x-session'),
    turn: Number(headerOf(request, 'x-turn')),
    at: now(),
    messages: messages.map(({ role, content }): Said => [role, content]),
    answer: words,
  })
  const chance = script.length === undefined ? Math.random() : 1
  await sleep(script.delayMs ?? (chance < 0.02 ? 500 : Math.random() * task.delayMs))
  if (script.fails ?? (chance > 0.02 && chance < 0.035)) return refuse(response)
  if (stream) await answerStream(response, words, number, script, chance > 0.035 && chance < 0.05)
  else answerJson(response, words, number)
}

async function text(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk as string
  return body
}

const headerOf = (request: IncomingMessage, name: string): string => String(request.headers[name] ?? '')

function refuse(response: ServerResponse): void {
  response.writeHead(500, { 'content-type': 'application/json' })
  response.end(
    '{"error":{"message":"The provider has a bad day.","type":"server_error","param":null,"code":null}}',
  )
}

function answerJson(response: ServerResponse, content: string, number: number): void {
  const choice = { index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }
  const body = JSON.stringify({
    id: `chatcmpl-${number}`,
    object: 'chat.completion',
    created: 1,
    model: 'm',
    choices: [choice],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

async function answerStream(
  response: ServerResponse,
  content: string,
  number: number,
  { pieces = 3, pauseMs = 0, together }: Script,
  breaks: boolean,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const size = Math.ceil(content.length / pieces)
  for (let place = 0; place < content.length; place += size) {
    const isWritten = response.write(eventOf(number, { content: content.slice(place, place + size) }, null))
    if (place === 0 && together !== undefined) await meet(together)
    if (pauseMs > 0) await sleep(pauseMs)
    if (!isWritten && !(await drained(response))) return
    if (breaks && place > 0) return void response.destroy()
  }
  response.end(`${eventOf(number, {}, 'stop')}data: [DONE]\n\n`)
}

const meeting: (() => void)[] = []

/** Wait until so many are here. */
async function meet(count: number): Promise<void> {
  const isHere = new Promise<void>((resolve) => meeting.push(resolve))
  if (meeting.length >= count) for (const leave of meeting.splice(0)) leave()
  await Promise.race([isHere, sleep(90_000, undefined, { ref: false })])
}

const drained = (response: ServerResponse): Promise<boolean> =>
  new Promise((resolve) => {
    if (response.closed) return resolve(false)
    const settle = (isOpen: boolean) => (): void => {
      response.off('drain', drain).off('close', close)
      resolve(isOpen)
    }
    const drain = settle(true)
    const close = settle(false)
    response.once('drain', drain).once('close', close)
  })

const eventOf = (number: number, delta: object, reason: string | null): string =>
  `data: ${JSON.stringify({
    id: `chatcmpl-${number}`,
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta, finish_reason: reason }],
  })}\n\n`

/** Hand over what was written down, a line each, and begin anew. */
async function report(response: ServerResponse): Promise<void> {
  for (const prompt of prompts.splice(0)) {
    if (!response.write(`${JSON.stringify(prompt)}\n`)) await drained(response)
  }
  response.end()
}

const server = createServer((request, response) => {
  const served = request.method === 'GET' ? report(response) : answer(request, response)
  served.catch(() => response.destroy())
})
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () =>
  process.send!(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)
process.on('disconnect', () => process.exit())
