import { expect } from 'chai'

import type { Turnlog } from '../../lib/index.js'
import type { Message } from '../../lib/model/message.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { clientOf, errorOf, type Call, type Client, type Reply } from './client.js'
import type { AppOptions, Framework, Running } from './framework.js'

export const mount = '/chat/sessions'

/** The test hosts' own auth: the user is whoever the header names. */
export const fromHeader: AppOptions['userId'] = ({ headers }) => headers['x-user'] as string | undefined

/** A host over a real store, with a user of its own for each test. */
export class Stage {
  private core!: FreshCore
  private host!: Running
  private users = 0
  private readonly others: Running[] = []
  call!: Client
  user = ''

  constructor(private readonly framework: Framework) {}

  get turnlog(): Turnlog {
    return this.core.turnlog
  }

  get url(): string {
    return this.host.url
  }

  async open(): Promise<void> {
    this.core = await freshCore()
    this.host = await this.framework.start({ turnlog: this.turnlog, userId: fromHeader })
    this.call = clientOf(`${this.host.url}${mount}`)
  }

  nextUser(): void {
    this.user = `${this.framework.name}-${++this.users}`
  }

  /** Another host over the same store, until the test ends. */
  async another(options: Partial<AppOptions>): Promise<Running & { readonly call: Client }> {
    const app = await this.framework.start({ turnlog: this.turnlog, userId: fromHeader, ...options })
    this.others.push(app)
    return { ...app, call: clientOf(`${app.url}${options.mount ?? mount}`) }
  }

  async stopOthers(): Promise<void> {
    for (const app of this.others.splice(0)) await app.stop()
  }

  async close(): Promise<void> {
    await this.host.stop()
    await this.core.end()
  }

  /** A call of the test's user. */
  as(rest: Call = {}): Call {
    return { user: this.user, ...rest }
  }

  async created(body: object = {}): Promise<string> {
    const reply = await this.call('POST', '', this.as({ body }))
    expect(reply.status, reply.text).to.equal(201)
    return reply.json.session_id as string
  }

  async createdWith(messages: readonly Message[]): Promise<string> {
    const id = await this.created()
    await this.append(id, messages)
    return id
  }

  async append(sessionId: string, messages: readonly Message[]): Promise<void> {
    await this.turnlog.messages.append({ userId: this.user, sessionId, messages })
  }
}

/** Question and answer with numbers, from the first on. */
export const exchange = (number: number): Message[] => [
  { role: 'user', content: `question ${number}` },
  { role: 'assistant', content: `answer ${number}` },
]

export const exchanges = (count: number): Message[] =>
  Array.from({ length: count }, (_, index) => exchange(index + 1)).flat()

/** OpenAI's envelope and nothing else, with our headers. */
export function expectError(reply: Reply, status: number, code: string, param?: string | null): void {
  expect(reply.status, reply.text).to.equal(status)
  expect(reply.headers.get('content-type')).to.equal('application/json; charset=utf-8')
  expect(reply.headers.get('cache-control')).to.equal('no-store')
  expect(Object.keys(reply.json)).to.deep.equal(['error'])
  expect(Object.keys(errorOf(reply))).to.deep.equal(['message', 'type', 'param', 'code'])
  expect(errorOf(reply).code).to.equal(code)
  if (param !== undefined) expect(errorOf(reply).param).to.equal(param)
}
