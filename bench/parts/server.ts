import { windowMessages } from '../contenders/contender.js'
import { migrated } from '../contenders/turnlog.js'
import { drain, post, startHost, startProvider, type HostSettings, type Running } from '../hosts/start.js'
import { drive, figuresOf, interleaved, type Figure, type Sample } from '../measure.js'
import { text } from '../places.js'
import { rounded, times, type Findings, type Goal } from '../report.js'
import type { Stage } from '../stage.js'
import type { Part } from './part.js'

const concurrency = 32
/** Until then a process that has served more is ahead of one that has served less. */
const warmUpMs = 2_000

interface Host {
  readonly name: string
  readonly running: Running
  readonly path: string
  readonly body: (worker: number) => string
}

type Figures = Readonly<Record<keyof Sample, Figure>>

/** Requests a second of a host, without Turnlog and with it, and the processor time of its process. */
export const server: Part = {
  name: 'server',
  async run(stage, { rounds, ms }, progressOf) {
    const provider = await startProvider()
    const frameworks = ['express', 'koa'] as const
    const progress = progressOf(frameworks.length * rounds * 7)
    const found = new Map<string, ReadonlyMap<string, Figures>>()
    for (const framework of frameworks) {
      const hosts = await hostsOf(framework, stage, provider.port)
      for (const host of hosts) await drive(requestsTo(host), { concurrency, ms: warmUpMs })
      const samples = await interleaved(hosts, rounds, (host, round) => {
        progress.step(`${framework}, round ${round + 1}: ${host.name}`)
        return drive(requestsTo(host), { concurrency, ms, serverCpu: () => host.running.cpu() })
      })
      found.set(framework, new Map([...samples].map(([{ name }, taken]) => [name, figuresOf(taken)])))
      await Promise.all(hosts.map(({ running }) => running.stop()))
    }
    await provider.stop()
    progress.end()
    return findingsOf(found)
  },
}

const requestsTo =
  ({ running, path, body }: Host) =>
  async (worker: number): Promise<void> =>
    void (await drain(await post(running.port, path, body(worker))))

const without = 'without Turnlog'
const resending = 'without it, the client sends the history'
const unasked = 'with it, no session_id'
const echo = 'JSON echo alone'
const onPostgres = 'Postgres'
const notOurs = new Set([without, resending, echo])

async function hostsOf(
  framework: HostSettings['framework'],
  stage: Stage,
  provider: number,
): Promise<Host[]> {
  const asking = (messages: number): string =>
    JSON.stringify({
      model: 'bench',
      messages: Array.from({ length: messages }, (_, n) => ({
        role: n % 2 === 0 ? 'user' : 'assistant',
        content: text,
      })),
    })
  const [plain, whole] = [asking(1), asking(windowMessages + 1)]
  const remembered = (worker: number): string =>
    JSON.stringify({
      session_id: `${framework}-${worker}`,
      model: 'bench',
      messages: [{ role: 'user', content: text }],
    })
  const database = await migrated(await stage.database())
  const other = await migrated(await stage.database())
  // Each a process of its own, so that what is compared has lived the same life.
  const bare = await startHost({ framework, provider })
  const resent = await startHost({ framework, provider })
  const echoing = await startHost({ framework, provider })
  const idle = await startHost({ framework, provider, database })
  const postgres = await startHost({ framework, provider, database })
  const redis = await startHost({ framework, provider, database: other, redis: stage.redisUrl })
  const embedded = await startHost({ framework, provider, database: 'memory' })
  const path = '/ask/json'
  return [
    { name: without, running: bare, path, body: () => plain },
    { name: resending, running: resent, path, body: () => whole },
    { name: unasked, running: idle, path, body: () => plain },
    { name: 'embedded (in memory)', running: embedded, path, body: remembered },
    { name: onPostgres, running: postgres, path, body: remembered },
    { name: 'Postgres and Redis', running: redis, path, body: remembered },
    { name: echo, running: echoing, path: '/echo', body: () => plain },
  ]
}

function findingsOf(found: ReadonlyMap<string, ReadonlyMap<string, Figures>>): Findings {
  const express = found.get('express')!
  const rate = (name: string): number => express.get(name)!.rate.median
  const cpu = (name: string): number => express.get(name)!.serverCpu.median
  const kept = rate(unasked) / rate(without)
  const added = cpu(onPostgres) - cpu(without)
  const goals: Goal[] = [
    {
      figure: 'Express with Turnlog, no session_id, of Express without (requests/s)',
      goal: '>= 0.98 x',
      measured: times(kept),
      reached: kept >= 0.98,
    },
    {
      figure: 'CPU that a turn adds to an Express request, of an Express JSON echo',
      goal: '<= 1 x',
      measured: `${times(added / cpu(echo))} (${rounded(added)} of ${rounded(cpu(echo))} us)`,
      reached: added <= cpu(echo),
    },
  ]
  return {
    title: 'A host server: 32 connections, a provider that answers at once',
    tables: [...found].map(([framework, figures]) => ({
      title: framework,
      columns: ['requests/s', 'of without', 'p50 ms', 'p99 ms', 'host CPU us'],
      rows: [...figures].map(([name, each]) => ({
        name,
        figures: [
          each.rate,
          times(each.rate.median / figures.get(without)!.rate.median),
          each.p50,
          each.p99,
          each.serverCpu,
        ],
      })),
    })),
    goals,
    chart: {
      title: 'Processor time of the host process for one request',
      note: 'The handler asks a provider that answers at once. Shorter is better.',
      groups: [...found].map(([framework, figures]) => ({
        name: framework,
        unit: 'us',
        bars: [...figures].map(([name, { serverCpu }]) => ({
          name,
          figure: serverCpu,
          isOurs: !notOurs.has(name),
        })),
      })),
    },
  }
}
