import { setTimeout as sleep } from 'node:timers/promises'

import { Clients, insist, userOf, type Operation } from './clients.js'
import { Cluster } from './cluster.js'
import { judge, type OnFaulty, type Verdict } from './judge.js'
import { failover, faultNames, faults, type FaultName } from './nemesis.js'

export interface CampaignOptions {
  readonly name: string
  /** Acknowledged turns wanted; the faults are spread over them. */
  readonly turns: number
  readonly clients: number
  /** The faults, each of which comes once; all of them when absent. */
  readonly faults?: readonly FaultName[]
  readonly onEvent?: (text: string) => void
  /** Told of each session that something is wrong with. */
  readonly onFaulty?: OnFaulty
}

export interface CampaignReport {
  readonly acknowledged: number
  /** Requests that clients sent. */
  readonly operations: number
  readonly prompts: number
  readonly sessions: number
  readonly faultRounds: Readonly<Record<string, number>>
  /** Acknowledged turns that the replica did not have. */
  readonly lostInFailover: number
  readonly seconds: number
  /** What the checker found. */
  readonly faults: readonly string[]
}

const liveSessions = 48
const longestSession = 60
const limits = [undefined, undefined, 6, 1000, 1000]

/** Load on a cluster while the nemesis works, and then the reckoning. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const startedAt = performance.now()
  const cluster = await Cluster.start({ servers: 4, replica: true })
  const campaign = new Campaign(cluster, options)
  try {
    await campaign.work()
    const { faults } = await campaign.judge()
    return { ...campaign.report(), faults, seconds: Math.round((performance.now() - startedAt) / 1000) }
  } finally {
    campaign.clients.end()
    await cluster.stop()
  }
}

class Campaign {
  readonly clients = new Clients()
  readonly #sessions: { name: string; asked: number }[] = []
  readonly #rounds: Record<string, number> = {}
  #named = 0
  #asked = 0
  #acknowledged = 0
  #isOver = false
  #verdict: Verdict | undefined

  constructor(
    private readonly cluster: Cluster,
    private readonly options: CampaignOptions,
  ) {}

  async work(): Promise<void> {
    const client = async (): Promise<void> => {
      while (!this.#isOver) await this.#step()
    }
    const load = Array.from({ length: this.options.clients }, client)
    try {
      await Promise.race([this.#torment(), Promise.all(load)])
    } finally {
      this.#isOver = true
      await Promise.all(load)
    }
  }

  /** Each fault once, one after the other, spread over the turns; the failover last. */
  async #torment(): Promise<void> {
    const { turns, faults: names = faultNames } = this.options
    const plan = shuffled(names)
    for (const [index, name] of plan.entries()) {
      await this.#until((turns * (index + 1)) / (plan.length + 2))
      await this.#inflict(name, () => faults[name](this.cluster))
    }
    await this.#until((turns * (plan.length + 1)) / (plan.length + 2))
    await this.#inflict(failover, () => this.cluster.failOver())
    await this.#until(turns)
  }

  async #inflict(name: string, fault: () => Promise<void>): Promise<void> {
    this.options.onEvent?.(`${this.#acknowledged} turns, ${this.clients.requests} requests: ${name}`)
    this.#rounds[name] = (this.#rounds[name] ?? 0) + 1
    await fault()
  }

  async #until(acknowledged: number): Promise<void> {
    while (this.#acknowledged < acknowledged) await sleep(50)
  }

  async #step(): Promise<void> {
    const session = await this.#session()
    const chance = Math.random()
    const urlOf = (): string => this.cluster.anyUrl()
    if (chance < 0.004) return void (await this.clients.change(urlOf(), session.name, 'clear'))
    if (chance < 0.006) {
      await this.clients.change(urlOf(), session.name, 'delete')
      return this.#retire(session)
    }
    const operation = this.#operation(session.name)
    const patience = operation.key === undefined ? { most: 3, pauseMs: 200 } : { most: 15, pauseMs: 400 }
    const copies = operation.key !== undefined && Math.random() < 0.05 ? 2 : 1
    const ends = await Promise.all(
      Array.from({ length: copies }, () => insist(this.clients, urlOf, operation, patience)),
    )
    if (ends.some(({ outcome }) => outcome === 'acknowledged')) this.#acknowledged++
    if (ends.some(({ status }) => status === 404)) this.#retire(session)
  }

  #operation(session: string): Operation {
    const id = `${session}:${++this.#asked}`
    const chance = Math.random()
    return {
      id,
      session,
      question: `question ${id}`,
      stream: Math.random() < 0.5,
      pipes: Math.random() < 0.1,
      ...(Math.random() < 0.6 && { key: `key ${id}` }),
      ...(chance < 0.01 && { discards: true }),
      ...(chance > 0.98 && { leaveAfterMs: 1 + Math.floor(Math.random() * 40) }),
    }
  }

  async #session(): Promise<{ name: string; asked: number }> {
    const found = this.#sessions[Math.floor(Math.random() * liveSessions)]
    const session = found ?? (await this.#newSession())
    if (++session.asked > longestSession) this.#retire(session)
    return session
  }

  /** Some are made by the routes, with a limit; the others by their first turn. */
  async #newSession(): Promise<{ name: string; asked: number }> {
    const name = `${this.options.name}-${++this.#named}`
    const limit = limits[this.#named % limits.length]
    for (let made = limit === undefined; !made;) {
      const reply = await this.clients.send(this.cluster.anyUrl(), 'POST', '/chat/sessions', {
        body: { session_id: name, max_history_messages: limit },
        headers: { 'x-user': userOf(name) },
      })
      made = reply?.status === 201 || reply?.status === 409
      if (!made) await sleep(200)
    }
    const session = { name, asked: 0 }
    this.#sessions.push(session)
    return session
  }

  #retire(session: { name: string; asked: number }): void {
    const place = this.#sessions.indexOf(session)
    if (place >= 0) this.#sessions.splice(place, 1)
  }

  async judge(): Promise<Verdict> {
    const verdict = await judge(this.cluster, this.clients, this.options.onFaulty)
    this.#verdict = verdict
    return verdict
  }

  report(): Omit<CampaignReport, 'faults' | 'seconds'> {
    return {
      acknowledged: this.clients.attempts.filter(({ outcome }) => outcome === 'acknowledged').length,
      operations: this.clients.requests,
      prompts: this.#verdict?.prompts ?? 0,
      sessions: this.#named,
      faultRounds: this.#rounds,
      lostInFailover: this.#verdict?.lostInFailover ?? 0,
    }
  }
}

/** In another order each time. */
function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item)
}
