import { installed, versionsOfCompetitors } from '../competitors/install.js'
import { langchainPostgres, langchainRedis } from '../competitors/langchain.js'
import { mastraPostgres } from '../competitors/mastra.js'
import { knexContender } from '../contenders/knex.js'
import { turnlogContender } from '../contenders/turnlog.js'
import type { Contender } from '../contenders/contender.js'
import { collectGarbage, drive, figuresOf, interleaved, type Figure, type Sample } from '../measure.js'
import { placesOf, type Depth, type Place } from '../places.js'
import { times, type Findings, type Goal, type Table } from '../report.js'
import { withClient, type Stage } from '../stage.js'
import type { Part } from './part.js'

const depths: readonly Depth[] = [
  { messages: 20, sessions: 960 },
  { messages: 1_000, sessions: 64 },
  { messages: 10_000, sessions: 32 },
]
const concurrencies = [1, 32]

const warm = 'Turnlog, window in memory'
const redis = 'Turnlog, window in Redis'
const bare = 'Turnlog, no cache'
const hand = 'Knex by hand'
const langchain = 'LangChain, Postgres with an index'
const mastra = 'Mastra, Postgres'

type Figures = Readonly<Record<keyof Sample, Figure>>

interface Cell {
  readonly depth: Depth
  readonly concurrency: number
  readonly figures: ReadonlyMap<string, Figures>
}

/**
 * Begin, a window of 20, complete: ours beside what one would write by hand and what one would install, each in a
 * database of its own on one Postgres.
 */
export const turn: Part = {
  name: 'turn',
  async run(stage, { rounds, ms, competitors }, progressOf) {
    const withOthers = competitors && installed()
    const contenders = await contendersOn(stage, withOthers)
    const progress = progressOf(
      depths.length * (contenders.length + concurrencies.length * rounds * contenders.length),
    )
    const cells: Cell[] = []
    for (const depth of depths) {
      for (const contender of contenders) {
        progress.step(`${depth.messages} messages: filling ${contender.name}`)
        await contender.load(depth)
        await once(contender, placesOf(depth))
      }
      // What was loaded is written out before anything is measured.
      await withClient(stage.postgresUrl, (client) => client.query('checkpoint'))
      for (const concurrency of concurrencies) {
        const samples = await interleaved(contenders, rounds, (contender, round) => {
          progress.step(
            `${depth.messages} messages, ${concurrency} at once, round ${round + 1}: ${contender.name}`,
          )
          collectGarbage()
          return drive(turnsOf(contender, placesOf(depth), concurrency), {
            concurrency,
            ms,
            serverCpu: () => stage.postgresCpu(),
          })
        })
        const figures = new Map([...samples].map(([{ name }, taken]) => [name, figuresOf(taken)]))
        cells.push({ depth, concurrency, figures })
      }
    }
    await Promise.all(contenders.map((contender) => contender.close()))
    progress.end()
    return {
      ...findingsOf(cells, contenders),
      ...(withOthers && { versions: versionsOfCompetitors() }),
    }
  },
}

const contendersOn = async (stage: Stage, withOthers: boolean): Promise<Contender[]> => [
  await turnlogContender(warm, await stage.database(), {}),
  await turnlogContender(redis, await stage.database(), { redis: stage.redisUrl, maxMemoryBytes: 0 }),
  await turnlogContender(bare, await stage.database(), { maxMemoryBytes: 0 }),
  await knexContender(await stage.database()),
  ...(withOthers
    ? [
        await langchainPostgres(await stage.database()),
        await langchainRedis(stage.redisUrl),
        await mastraPostgres(await stage.database()),
      ]
    : []),
]

/** Every session once: plans, connections and windows are warm for all. */
async function once(contender: Contender, places: readonly Place[]): Promise<void> {
  const next = places.values()
  const work = async (): Promise<void> => {
    for (const place of next) await contender.turn(place)
  }
  await Promise.all(Array.from({ length: 16 }, work))
}

/** No two workers meet in one session. */
function turnsOf(
  contender: Contender,
  places: readonly Place[],
  concurrency: number,
): (worker: number, n: number) => Promise<void> {
  const share = Math.floor(places.length / concurrency)
  return (worker, n) => contender.turn(places[worker + (n % share) * concurrency]!)
}

function findingsOf(cells: readonly Cell[], contenders: readonly Contender[]): Findings {
  return {
    title: 'A turn: question stored, window of 20 read, answer stored',
    tables: cells.map(tableOf),
    goals: goalsOf(cells),
    chart: {
      title: 'Turns a second, 32 at once',
      note: 'Medians; the line is the spread of the rounds. Longer is better.',
      groups: cells
        .filter(({ concurrency }) => concurrency === 32)
        .map(({ depth, figures }) => ({
          name: `${depth.messages.toLocaleString('en-US')} messages a session`,
          unit: 'turns/s',
          bars: contenders.map(({ name, isOurs }) => ({ name, isOurs, figure: figures.get(name)!.rate })),
        })),
    },
  }
}

const allCpu = ({ cpu, serverCpu }: Figures): number => cpu.median + serverCpu.median

function tableOf({ depth, concurrency, figures }: Cell): Table {
  const base = figures.get(hand)!
  return {
    title: `${depth.messages.toLocaleString('en-US')} messages a session, ${concurrency} at once`,
    columns: [
      'turns/s',
      'of Knex',
      'p50 ms',
      'p99 ms',
      'CPU us/turn',
      'Postgres CPU us/turn',
      'all CPU, of Knex',
    ],
    rows: [...figures].map(([name, each]) => ({
      name,
      figures: [
        each.rate,
        times(each.rate.median / base.rate.median),
        each.p50,
        each.p99,
        each.cpu,
        each.serverCpu,
        times(allCpu(each) / allCpu(base)),
      ],
    })),
  }
}

/** Of the turns a second at 32, and of the processor time, ours and Postgres' together, which moves less with the machine's load. */
function goalsOf(cells: readonly Cell[]): Goal[] {
  const at = (messages: number, concurrency: number) =>
    cells.find((cell) => cell.depth.messages === messages && cell.concurrency === concurrency)!.figures
  const p50 = (messages: number): number => at(messages, 1).get(warm)!.p50.median
  const deep = p50(10_000) / p50(20)
  const atLeast = (least: number, messages: number, ours: string, theirs: string): Goal[] => {
    const [our, their] = [at(messages, 32).get(ours)!, at(messages, 32).get(theirs)]
    if (!their) return []
    const measured = our.rate.median / their.rate.median
    return [
      {
        figure: `turns/s, 32 at once, ${messages.toLocaleString('en-US')} messages: ${ours}, of ${theirs}`,
        goal: `>= ${least} x`,
        measured: `${times(measured)} (${times(allCpu(their) / allCpu(our))} by processor time)`,
        reached: measured >= least,
      },
    ]
  }
  return [
    ...atLeast(3.5, 20, warm, hand),
    ...atLeast(5, 20, warm, mastra),
    ...atLeast(1.5, 20, bare, hand),
    ...atLeast(8, 1_000, warm, langchain),
    ...atLeast(5, 1_000, warm, hand),
    {
      figure: 'turn p50 at 10,000 messages, of the turn at 20',
      goal: '<= 1.3 x',
      measured: times(deep),
      reached: deep <= 1.3,
    },
  ]
}
