import { createTurnlog, type Turnlog } from 'turnlog'

import type { Chart } from '../chart.js'
import { migrated } from '../contenders/turnlog.js'
import { scales, type Call, type Scale } from '../growth/scales.js'
import {
  collectGarbage,
  drive,
  figureOf,
  figuresOf,
  interleaved,
  type Figure,
  type Sample,
} from '../measure.js'
import { text, type Place } from '../places.js'
import { rounded, times, type Goal, type Table } from '../report.js'
import { withClient, type Stage } from '../stage.js'
import type { Part } from './part.js'

/** Turns whose windows stay in memory while it is weighed. */
const weighedTurns = 1_000

type Figures = Readonly<Record<keyof Sample, Figure>>

/** What there is so much of, loaded, and an application on it. */
interface Grown {
  readonly scale: Scale
  readonly size: number
  readonly database: string
  readonly turnlog: Turnlog
}

interface Row {
  readonly scale: Scale
  readonly size: number
  readonly call: Call
  readonly figures: Figures
}

interface Weight {
  readonly scale: Scale
  readonly size: number
  readonly mebibytes: number
}

/** Whether a turn, a page, or the process's memory costs more as there is more of everything. */
export const growth: Part = {
  name: 'growth',
  async run(stage, { rounds, ms }, progressOf) {
    const sizes = scales.reduce((sum, scale) => sum + scale.sizes.length, 0)
    const calls = scales.reduce((sum, scale) => sum + scale.sizes.length * scale.calls.length, 0)
    const progress = progressOf(2 * sizes + rounds * calls)
    const grown: Grown[] = []
    for (const scale of scales) {
      for (const size of scale.sizes) {
        progress.step(`loading ${named(scale, size)}`)
        grown.push(await grow(stage, scale, size))
      }
    }
    await withClient(stage.postgresUrl, (client) => client.query('checkpoint'))
    const subjects = grown.flatMap((each) => each.scale.calls.map((call) => ({ ...each, call })))
    for (const { turnlog, size, call } of subjects)
      await drive((_, n) => call.run(turnlog, size, n), { concurrency: 1, ms: 100 })
    const taken = await interleaved(subjects, rounds, ({ scale, turnlog, size, call }, round) => {
      progress.step(`round ${round + 1}: ${call.name}, ${named(scale, size)}`)
      collectGarbage()
      return drive((_, n) => call.run(turnlog, size, n), { concurrency: 1, ms })
    })
    await Promise.all(grown.map(({ turnlog }) => turnlog.close()))
    const weights: Weight[] = []
    for (const { scale, size, database } of grown) {
      progress.step(`weighing ${named(scale, size)}`)
      weights.push({ scale, size, mebibytes: await weigh(database, (n) => scale.place(size, n)) })
    }
    progress.end()
    const rows = [...taken].map(([{ scale, size, call }, samples]) => ({
      scale,
      size,
      call,
      figures: figuresOf(samples),
    }))
    const [chart, ...more] = scales.map((scale) => chartOf(scale, rows, weights))
    return {
      title: 'Growth: one call at a time as there is more of everything',
      tables: scales.map((scale) => tableOf(scale, rows, weights)),
      goals: goalsOf(rows),
      chart: chart!,
      moreCharts: Object.fromEntries(more.map((each, at) => [scales[at + 1]!.name, each])),
    }
  },
}

const named = (scale: Scale, size: number): string => `${size.toLocaleString('en-US')} ${scale.unit}`

async function grow(stage: Stage, scale: Scale, size: number): Promise<Grown> {
  const database = await migrated(await stage.database())
  await withClient(database, async (client) => {
    await scale.load(client, size)
    await client.query('vacuum analyze')
  })
  return { scale, size, database, turnlog: createTurnlog({ database, maxMemoryBytes: scale.memoryBytes }) }
}

/** What the heap holds more after turns in as many sessions as there are, up to a thousand; in MiB. */
async function weigh(database: string, placeOf: (n: number) => Place): Promise<number> {
  const turnlog = createTurnlog({ database })
  await turnlog.ready()
  const before = heap()
  let next = 0
  const work = async (): Promise<void> => {
    for (let n = next++; n < weighedTurns; n = next++)
      await (await turnlog.begin({ ...placeOf(n), question: text })).complete(text)
  }
  await Promise.all(Array.from({ length: 16 }, work))
  const after = heap()
  await turnlog.close()
  return (after - before) / 2 ** 20
}

function heap(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

const tableOf = (scale: Scale, rows: readonly Row[], weights: readonly Weight[]): Table => ({
  title: `${scale.title}; pages of 50`,
  columns: ['p50 ms', 'p99 ms', `heap after ${weighedTurns} turns, MiB`],
  rows: scale.calls.flatMap((call, at) =>
    scale.sizes.map((size) => {
      const { p50, p99 } = rows.find((row) => row.call === call && row.size === size)!.figures
      const weight = weights.find((each) => each.scale === scale && each.size === size)!
      return {
        name: `${call.name}, ${named(scale, size)}`,
        figures: [p50, p99, at === 0 ? rounded(weight.mebibytes) : ''],
      }
    }),
  ),
})

function chartOf(scale: Scale, rows: readonly Row[], weights: readonly Weight[]): Chart {
  const bar = (size: number, figure: Figure) => ({ name: named(scale, size), figure, isOurs: true })
  return {
    title: scale.title,
    note: 'Median latency, one at a time, and what the heap holds. Equal bars are the aim.',
    groups: [
      ...scale.calls.map((call) => ({
        name: call.name,
        unit: 'ms',
        bars: rows.filter((row) => row.call === call).map(({ size, figures }) => bar(size, figures.p50)),
      })),
      {
        name: `heap after ${weighedTurns} turns`,
        unit: 'MiB',
        bars: weights
          .filter((weight) => weight.scale === scale)
          .map(({ size, mebibytes }) => bar(size, figureOf([mebibytes]))),
      },
    ],
  }
}

function goalsOf(rows: readonly Row[]): Goal[] {
  const at = (call: string, size: number): Figures =>
    rows.find((row) => row.call.name === call && row.size === size)!.figures
  const atMost = (figure: string, of: Figure, base: Figure, most: number): Goal => {
    const measured = of.median / base.median
    return { figure, goal: `<= ${most} x`, measured: times(measured), reached: measured <= most }
  }
  return [
    atMost(
      'turn at 1,000,000 messages, of the turn at 10 (p50)',
      at('turn', 1_000_000).p50,
      at('turn', 10).p50,
      1.5,
    ),
    atMost(
      '50 sessions from the middle of 100,000, p99 of the first page',
      at('sessions, middle page', 100_000).p99,
      at('sessions, first page', 100_000).p99,
      2,
    ),
    atMost(
      '50 messages from the middle of 1,000,000, p99 of the first page',
      at('messages, middle page', 1_000_000).p99,
      at('messages, first page', 1_000_000).p99,
      2,
    ),
  ]
}
