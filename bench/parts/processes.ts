import { migrated } from '../contenders/turnlog.js'
import { drain, post, startHost, startProvider, type Running } from '../hosts/start.js'
import { collectGarbage, drive, figuresOf, interleaved } from '../measure.js'
import { text } from '../places.js'
import { times, type Findings } from '../report.js'
import { withClient, type Stage } from '../stage.js'
import type { Part } from './part.js'

const concurrency = 32
const counts = [1, 2, 4]

/** Host processes that share a database and a Redis, and nothing else. */
interface Fleet {
  readonly name: string
  readonly database: string
  readonly hosts: readonly Running[]
  answered: number
}

/** One, two and four host processes; each request of a session goes to another one of them. */
export const processes: Part = {
  name: 'processes',
  async run(stage, { rounds, ms }, progressOf) {
    const provider = await startProvider()
    const progress = progressOf(counts.length * (rounds + 1))
    const fleets: Fleet[] = []
    for (const count of counts) fleets.push(await fleetOf(count, stage, provider.port))
    // Each process as long, whatever their number: code that is not yet compiled is no cost of more processes.
    for (const fleet of fleets) {
      progress.step(`warming ${fleet.name}`)
      await drive(requestsTo(fleet), { concurrency, ms: 2_000 * fleet.hosts.length })
    }
    const samples = await interleaved(fleets, rounds, async (fleet, round) => {
      progress.step(`round ${round + 1}: ${fleet.name}`)
      collectGarbage()
      const before = stage.postgresCpu()
      const serverCpu = (): number => fleet.hosts.reduce((sum, host) => sum + host.cpu(), 0)
      const sample = await drive(requestsTo(fleet), { concurrency, ms, serverCpu })
      // Of this process there is nothing to say: its place is taken by Postgres.
      return { ...sample, cpu: ((stage.postgresCpu() - before) / sample.rate / ms) * 1000 }
    })
    for (const fleet of fleets) await countTurns(fleet)
    await Promise.all(fleets.flatMap(({ hosts }) => hosts.map((host) => host.stop())))
    await provider.stop()
    progress.end()
    return findingsOf([...samples].map(([{ name }, taken]) => ({ name, figures: figuresOf(taken) })))
  },
}

async function fleetOf(count: number, stage: Stage, provider: number): Promise<Fleet> {
  const database = await migrated(await stage.database())
  const hosts: Running[] = []
  for (let n = 0; n < count; n++)
    hosts.push(await startHost({ framework: 'express', provider, database, redis: stage.redisUrl }))
  return { name: count === 1 ? '1 process' : `${count} processes`, database, hosts, answered: 0 }
}

const requestsTo =
  (fleet: Fleet) =>
  async (worker: number): Promise<void> => {
    const host = fleet.hosts[fleet.answered++ % fleet.hosts.length]!
    const body = {
      session_id: `of-${fleet.hosts.length}-${worker}`,
      model: 'bench',
      messages: [{ role: 'user', content: text }],
    }
    await drain(await post(host.port, '/ask/json', JSON.stringify(body)))
  }

/** Every request that was answered is a turn, whichever process it went to. */
async function countTurns({ name, database, answered }: Fleet): Promise<void> {
  const { rows } = await withClient(database, (client) =>
    client.query<{ done: number }>(`select count(*)::int as done from chat_turns where status = 'done'`),
  )
  if (rows[0]!.done !== answered)
    throw new Error(`${name} answered ${answered} requests and stored ${rows[0]!.done} turns.`)
}

function findingsOf(rows: readonly { name: string; figures: ReturnType<typeof figuresOf> }[]): Findings {
  const one = rows[0]!.figures.rate.median
  return {
    title: 'Several host processes on one Postgres and one Redis, no other state shared',
    tables: [
      {
        title: `Express, ${concurrency} connections, all on this machine's cores with the database and the provider`,
        columns: ['requests/s', 'of one', 'p50 ms', 'p99 ms', 'hosts CPU us', 'Postgres CPU us'],
        rows: rows.map(({ name, figures: { rate, p50, p99, serverCpu, cpu } }) => ({
          name,
          figures: [rate, times(rate.median / one), p50, p99, serverCpu, cpu],
        })),
      },
    ],
    goals: [],
    chart: {
      title: 'Requests a second of several host processes',
      note: 'Each request of a session in another process; hosts, database and provider share the cores. Longer is better.',
      groups: [
        {
          name: `${concurrency} connections`,
          unit: 'requests/s',
          bars: rows.map(({ name, figures }) => ({ name, figure: figures.rate, isOurs: true })),
        },
      ],
    },
  }
}
