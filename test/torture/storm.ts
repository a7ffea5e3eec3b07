import { Clients, insist, type Operation } from './clients.js'
import { Cluster } from './cluster.js'
import { judge, type OnFaulty } from './judge.js'
import type { Attempt } from './record.js'

export interface StormReport {
  readonly turns: number
  /** Finished turns that the database holds, without the last look at each session. */
  readonly done: number
  readonly providerCalls: number
  /** Copies that were answered, as the first or again, and those that were told that it still runs. */
  readonly answered: number
  readonly replayed: number
  readonly running: number
  readonly seconds: number
  readonly faults: readonly string[]
}

const atOnce = 40
const sessionTurns = 40

/** Every question is sent three times at once, to three of four servers, under one key. */
export async function runStorm(turns: number, onFaulty?: OnFaulty): Promise<StormReport> {
  const startedAt = performance.now()
  const cluster = await Cluster.start({ servers: 4 })
  const clients = new Clients()
  try {
    const numbers = Array.from({ length: turns }).keys()
    const sender = async (): Promise<void> => {
      for (const number of numbers) await sendThrice(cluster, clients, number)
    }
    await Promise.all(Array.from({ length: atOnce }, sender))
    const { attempts } = clients
    const count = (is: (attempt: Attempt) => boolean): number => attempts.filter(is).length
    const answered = count(({ outcome }) => outcome === 'acknowledged')
    const replayed = count(({ replayed }) => replayed === true)
    const running = count(({ status }) => status === 409)
    const { faults, done, prompts, sessions } = await judge(cluster, clients, onFaulty)
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    const [stored, providerCalls] = [done - sessions, prompts - sessions]
    return { turns, done: stored, providerCalls, answered, replayed, running, seconds, faults }
  } finally {
    clients.end()
    await cluster.stop()
  }
}

async function sendThrice(cluster: Cluster, clients: Clients, number: number): Promise<void> {
  const session = `storm-${Math.floor(number / (atOnce * sessionTurns)) * atOnce + (number % atOnce)}`
  const id = `${session}:${number}`
  const script = JSON.stringify({ delayMs: Math.floor(Math.random() * 20), fails: false, length: 0 })
  const operation: Operation = {
    id,
    session,
    question: `question ${id}`,
    key: `key ${id}`,
    stream: number % 2 === 0,
    script,
  }
  const copies = await Promise.all(
    [0, 1, 2].map((copy) => clients.attempt(cluster.urlOf((number + copy) % 4), operation)),
  )
  if (copies.some(({ outcome }) => outcome === 'acknowledged')) return
  await insist(clients, () => cluster.anyUrl(), operation, { most: 20, pauseMs: 200 })
}
