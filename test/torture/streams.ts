import { setTimeout as sleep } from 'node:timers/promises'

import { Clients, type Operation } from './clients.js'
import { Cluster } from './cluster.js'
import { measure, type Measure } from './host.js'
import { judge, type OnFaulty } from './judge.js'

export interface StreamsReport {
  readonly streams: number
  /** Streams that were read to their end, and those whose client left; over all waves. */
  readonly acknowledged: number
  readonly left: number
  /** Turns whose client stayed, by their status: an answer that could not be committed in time is stored later. */
  readonly stayed: Readonly<Record<string, number>>
  /** Turns whose client left, by their status. */
  readonly endings: Readonly<Record<string, number>>
  /** After each wave. */
  readonly measures: readonly Measure[]
  readonly seconds: number
  readonly faults: readonly string[]
}

const waves = 3

/** One server, so many streams open at once, several times over; one client in ten leaves, one in twenty hardly reads. */
export async function runStreams(streams: number, onFaulty?: OnFaulty): Promise<StreamsReport> {
  const startedAt = performance.now()
  const cluster = await Cluster.start({ servers: 1, maxMemoryBytes: 1_048_576, execArgv: ['--expose-gc'] })
  const clients = new Clients()
  const measures: Measure[] = []
  try {
    for (let wave = 0; wave < waves; wave++) {
      const numbers = Array.from({ length: streams }, (_, number) => number)
      await Promise.all(
        numbers.map((number) => clients.attempt(cluster.urlOf(0), streamed(wave, number, streams))),
      )
      clients.end()
      // What the last ones left behind is still being stored.
      await sleep(3000)
      measures.push(await measure(cluster.seats[0]!.host!))
    }
    const acknowledged = clients.attempts.filter(({ outcome }) => outcome === 'acknowledged').length
    const leavers = clients.attempts.filter(({ operation }) => operation.startsWith('leaves'))
    const { faults, states } = await judge(cluster, clients, onFaulty)
    const [endings, stayed] = [{}, {}] as [Record<string, number>, Record<string, number>]
    for (const { session, operation } of clients.attempts) {
      if (operation.endsWith(':last')) continue
      const counts = operation.startsWith('leaves') ? endings : stayed
      const status = states.get(session)?.turns.find(({ turn }) => turn === 1)?.status ?? 'none'
      counts[status] = (counts[status] ?? 0) + 1
    }
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    return { streams, acknowledged, left: leavers.length, endings, stayed, measures, seconds, faults }
  } finally {
    clients.end()
    await cluster.stop()
  }
}

function streamed(wave: number, number: number, together: number): Operation {
  const reader = number % 10 === 0 ? 'leaves' : number % 20 === 1 ? 'slow' : undefined
  const session = `streams-${wave}-${number}`
  const id = `${reader ?? 'reads'}:${session}`
  // A slow reader's answer is larger than what the sockets hold for it; the others go on for a while, and those
  // that somebody leaves for long: a client that is held up itself must not have read all before it goes.
  const size =
    reader === 'slow'
      ? { length: 1_000_000, pieces: 64 }
      : { length: 400, pieces: reader === 'leaves' ? 200 : 20, pauseMs: 100 }
  return {
    id,
    session,
    question: `question ${id}`,
    stream: true,
    script: JSON.stringify({ delayMs: 0, fails: false, together, ...size }),
    longestMs: 150_000,
    ...(reader && { reader }),
  }
}
