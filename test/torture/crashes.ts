import { once } from 'node:events'

import { Clients, insist, type Operation } from './clients.js'
import { Cluster } from './cluster.js'
import { crashPoints, nameOf, type CrashPoint } from './crash-points.js'
import { judge, type OnFaulty } from './judge.js'

export interface CrashReport {
  /** How often each point killed its process. */
  readonly killed: Readonly<Record<string, number>>
  /** Keyed questions that were answered in the end. */
  readonly answered: number
  readonly operations: number
  readonly seconds: number
  readonly faults: readonly string[]
}

/** A server process dies at each crash point, its client asks again, and then the reckoning. */
export async function runCrashes(rounds: number, onFaulty?: OnFaulty): Promise<CrashReport> {
  const startedAt = performance.now()
  const cluster = await Cluster.start({ servers: 3, crashes: true })
  const clients = new Clients()
  const killed: Record<string, number> = {}
  const waiting: Operation[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      const plan = crashPoints.map((point, place) => ({ point, session: `crash-${round}-${place}` }))
      const [calm, ...deadly] = cluster.seats.keys()
      await Promise.all(plan.map(({ session }) => clients.attempt(cluster.urlOf(calm!), quietly(session, 1))))
      // The windows are in nobody's memory but that of the server that does not die.
      await cluster.flushRedis()
      const steps = plan.values()
      const worker = async (seat: number): Promise<void> => {
        for (const { point, session } of steps) {
          waiting.push(await crashAt(cluster, clients, { seat, point, session }))
          if (await isDead(cluster, seat)) killed[nameOf(point)] = (killed[nameOf(point)] ?? 0) + 1
          await cluster.killServer(seat)
          await cluster.startServer(seat)
        }
      }
      await Promise.all(deadly.map(worker))
    }
    const answered = await askAgain(
      cluster,
      clients,
      waiting.filter(({ discards }) => !discards),
    )
    const { faults } = await judge(cluster, clients, onFaulty)
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    return { killed, answered, operations: clients.requests, seconds, faults }
  } finally {
    clients.end()
    await cluster.stop()
  }
}

const calm = JSON.stringify({ delayMs: 0, fails: false, length: 0 })

function quietly(session: string, number: number): Operation {
  const id = `${session}:${number}`
  return { id, session, question: `question ${id}`, script: calm }
}

/** Returns what the client is to ask again. */
async function crashAt(
  cluster: Cluster,
  clients: Clients,
  { seat, point, session }: { seat: number; point: CrashPoint; session: string },
): Promise<Operation> {
  const url = cluster.urlOf(seat)
  // A process that has just begun does not wait for Redis.
  await clients.attempt(url, quietly(`warm-${session}`, 1))
  const operation: Operation = {
    ...quietly(session, 2),
    key: `key ${session}`,
    stream: point.way === 'stream' || point.way === 'leaving',
    ...(point.way === 'discarding' && { discards: true }),
  }
  await clients.attempt(url, {
    ...operation,
    script: scriptOf(point),
    headers: { 'x-crash': point.moment },
    ...(point.way === 'leaving' && { leaveAfterMs: 300 }),
  })
  return operation
}

function scriptOf({ way }: CrashPoint): string {
  if (way === 'failing') return JSON.stringify({ delayMs: 0, fails: true, length: 0 })
  if (way === 'leaving')
    return JSON.stringify({ delayMs: 0, fails: false, length: 1000, pieces: 20, pauseMs: 200 })
  return JSON.stringify({ delayMs: 0, fails: false, length: 100, pieces: 4, pauseMs: 10 })
}

/** The last moments come when the client has its answer already. */
async function isDead(cluster: Cluster, seat: number): Promise<boolean> {
  const child = cluster.seats[seat]!.host!.process
  const gone = AbortSignal.timeout(5000)
  if (child.signalCode === null && child.exitCode === null) {
    await once(child, 'exit', { signal: gone }).catch(() => undefined)
  }
  return child.signalCode === 'SIGKILL'
}

/** Every client repeats its question until it has an answer: what a dead process left open holds it up for a lease. */
async function askAgain(cluster: Cluster, clients: Clients, waiting: readonly Operation[]): Promise<number> {
  let answered = 0
  const operations = waiting.values()
  const client = async (): Promise<void> => {
    for (const operation of operations) {
      const end = await insist(clients, () => cluster.anyUrl(), operation, { most: 60, pauseMs: 500 })
      if (end.outcome === 'acknowledged') answered++
    }
  }
  await Promise.all(Array.from({ length: 16 }, client))
  return answered
}
