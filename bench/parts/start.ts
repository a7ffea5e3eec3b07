import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { figureOf, interleaved } from '../measure.js'
import { rounded } from '../report.js'
import type { Part } from './part.js'

const run = promisify(execFile)

/** What a new process does, and what it costs: printed as JSON by the process itself. */
const starts = {
  'an empty process': '',
  'import of turnlog': `await import('turnlog')`,
  'import and createTurnlog': `(await import('turnlog')).createTurnlog({ database: 'postgres://127.0.0.1:1/none' })`,
  'import of knex': `await import('knex')`,
  'loading an encoding of tiktoken': `await new (await import('../../dist/lib/window/tokenizer.js')).LocalTokenizer().load('o200k_base')`,
}

interface Cost {
  readonly ms: number
  /** Processor time, in milliseconds. */
  readonly cpu: number
  readonly bytes: number
}

/** Time and memory of importing the package, and of what it loads when it is first needed. */
export const start: Part = {
  name: 'start',
  async run(_stage, { rounds }, progressOf) {
    const names = Object.keys(starts) as (keyof typeof starts)[]
    const progress = progressOf(rounds * names.length)
    const taken = await interleaved(names, rounds, (name, round) => {
      progress.step(`round ${round + 1}: ${name}`)
      return costOf(starts[name])
    })
    progress.end()
    const figures = names.map((name) => ({
      name,
      ms: figureOf(taken.get(name)!.map(({ ms }) => ms)),
      cpu: figureOf(taken.get(name)!.map(({ cpu }) => cpu)),
      mebibytes: figureOf(taken.get(name)!.map(({ bytes }) => bytes / 2 ** 20)),
    }))
    const [empty, imported] = figures as [(typeof figures)[0], (typeof figures)[0]]
    const more = imported.mebibytes.median - empty.mebibytes.median
    return {
      title: 'Start',
      tables: [
        {
          title: 'in a new process of built code',
          columns: ['ms', 'CPU ms', 'MiB resident'],
          rows: figures.map(({ name, ms, cpu, mebibytes }) => ({ name, figures: [ms, cpu, mebibytes] })),
        },
      ],
      goals: [
        {
          figure: 'import of the package, time',
          goal: '<= 60 ms',
          measured: `${rounded(imported.ms.median)} ms`,
          reached: imported.ms.median <= 60,
        },
        {
          figure: 'import of the package, memory',
          goal: '<= 25 MiB',
          measured: `${rounded(more)} MiB`,
          reached: more <= 25,
        },
      ],
      chart: {
        title: 'Import, in a new process',
        note: 'Shorter is better. Turnlog loads Knex and tiktoken when they are first needed.',
        groups: [
          {
            name: 'time',
            unit: 'ms',
            bars: figures.map(({ name, ms }) => ({ name, figure: ms, isOurs: name.includes('turnlog') })),
          },
        ],
      },
    }
  },
}

async function costOf(work: string): Promise<Cost> {
  const script = `const used = process.cpuUsage(); const from = performance.now(); ${work}
    ;console.log(JSON.stringify({ ms: performance.now() - from, cpu: (process.cpuUsage().user + process.cpuUsage().system - used.user - used.system) / 1000, bytes: process.memoryUsage.rss() }));process.exit()`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
    cwd: import.meta.dirname,
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
  })
  return JSON.parse(stdout) as Cost
}
