import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'

import { migrated } from '../contenders/turnlog.js'
import { chunksOfStream } from '../hosts/chunks.js'
import { drain, post, startHost, startProvider, type Running } from '../hosts/start.js'
import { figureOf, interleaved, type Figure } from '../measure.js'
import { text } from '../places.js'
import { rounded, times } from '../report.js'
import type { Part } from './part.js'

const streamsAtOnce = 8
const openStreams = 1_000

interface Host {
  readonly name: string
  readonly running: Running
  readonly isOurs: boolean
}

interface Taken {
  /** Microseconds of the host's processor time per event. */
  readonly perChunk: number
  /** Milliseconds to the first byte, one stream at a time. */
  readonly firstByte: number
}

/** What the tap costs a stream: processor time per event, the first byte's delay, memory of an open stream. */
export const streams: Part = {
  name: 'streams',
  async run(stage, { rounds }, progressOf) {
    const provider = await startProvider()
    const database = await migrated(await stage.database())
    const hosts: Host[] = [
      {
        name: 'piped',
        running: await startHost({ framework: 'express', provider: provider.port }),
        isOurs: false,
      },
      {
        name: 'piped, with Turnlog',
        running: await startHost({ framework: 'express', provider: provider.port, database }),
        isOurs: true,
      },
    ]
    const progress = progressOf((rounds + 1) * hosts.length)
    for (const host of hosts) await streamThrough(host)
    const samples = await interleaved(hosts, rounds, async (host, round) => {
      progress.step(`round ${round + 1}: ${host.name}`)
      return streamThrough(host)
    })
    const memory = new Map<Host, number>()
    for (const host of hosts) {
      progress.step(`${openStreams} open streams: ${host.name}`)
      memory.set(host, await memoryOfStreams(host.running))
    }
    for (const { running } of hosts) await running.stop()
    await provider.stop()
    progress.end()

    const figures = hosts.map((host) => ({
      name: host.name,
      isOurs: host.isOurs,
      perChunk: figureOf(samples.get(host)!.map(({ perChunk }) => perChunk)),
      firstByte: figureOf(samples.get(host)!.map(({ firstByte }) => firstByte)),
      kibibytes: memory.get(host)! / 1024,
    }))
    const [piped, tapped] = figures as [(typeof figures)[0], (typeof figures)[0]]
    const cpu = tapped.perChunk.median / piped.perChunk.median
    const later = tapped.firstByte.median - piped.firstByte.median
    const beyond = tapped.kibibytes - piped.kibibytes
    return {
      title: `A stream of ${chunksOfStream} events through an Express host`,
      tables: [
        {
          title: `${streamsAtOnce} streams at once; first byte one at a time; memory with ${openStreams} streams open`,
          columns: ['host CPU us/event', 'first byte ms', 'KiB a stream'],
          rows: figures.map(({ name, perChunk, firstByte, kibibytes }) => ({
            name,
            figures: [perChunk, firstByte, rounded(kibibytes)],
          })),
        },
      ],
      goals: [
        {
          figure: 'tap on a stream, of the CPU of piping',
          goal: '<= 1.5 x',
          measured: times(cpu),
          reached: cpu <= 1.5,
        },
        {
          figure: 'first byte later, the commit of the question included',
          goal: '<= 1 ms',
          measured: `${rounded(later)} ms`,
          reached: later <= 1,
        },
        {
          figure: 'memory of an open stream',
          goal: '<= 64 KiB',
          measured: `${rounded(beyond)} KiB`,
          reached: beyond <= 64,
        },
      ],
      chart: {
        title: 'A stream through the tap',
        note: 'Processor time of the host process for one event. Shorter is better.',
        groups: [{ name: 'one event', unit: 'us', bars: figures.map(barOf) }],
      },
    }
  },
}

const barOf = ({ name, isOurs, perChunk }: { name: string; isOurs: boolean; perChunk: Figure }) => ({
  name,
  isOurs,
  figure: perChunk,
})

const body = (session: string): string =>
  JSON.stringify({
    session_id: session,
    stream: true,
    model: 'bench',
    messages: [{ role: 'user', content: text }],
  })

async function streamThrough({ running }: Host): Promise<Taken> {
  const cpu = running.cpu()
  const one = async (stream: number): Promise<void> => {
    for (let n = 0; n < 4; n++) await drain(await post(running.port, '/ask/stream', body(`stream-${stream}`)))
  }
  await Promise.all(Array.from({ length: streamsAtOnce }, (_, stream) => one(stream)))
  const perChunk = (running.cpu() - cpu) / (4 * streamsAtOnce * chunksOfStream)
  const delays: number[] = []
  for (let n = 0; n < 20; n++) {
    const start = performance.now()
    const response = await post(running.port, '/ask/brief', body('first'))
    await once(response, 'readable')
    delays.push(performance.now() - start)
    await drain(response)
  }
  return { perChunk, firstByte: figureOf(delays).median }
}

/** How much the heap grows with each stream that stands open. */
async function memoryOfStreams(running: Running): Promise<number> {
  const before = await running.memory()
  const responses: IncomingMessage[] = []
  for (let from = 0; from < openStreams; from += 50) {
    const some = Array.from({ length: 50 }, (_, n) =>
      post(running.port, '/ask/hold', body(`hold-${from + n}`)),
    )
    responses.push(...(await Promise.all(some)))
  }
  for (const response of responses) response.resume()
  const after = await running.memory()
  for (const response of responses) {
    response.on('error', () => {})
    response.destroy()
  }
  return (after - before) / openStreams
}
