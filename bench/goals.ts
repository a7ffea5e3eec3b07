import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { parts } from './parts/parts.js'
import type { Goal, Run } from './report.js'

interface Result extends Run {
  readonly part: string
  readonly goals?: readonly Goal[]
  readonly versions?: Readonly<Record<string, string>>
}

/** What the parts in `folder` found beside what is to be reached, and on what, as the README has it. What was missed is bold. */
export function goalsTable(folder: string): string {
  const results = parts
    .map(({ name }) => join(folder, `${name}.json`))
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')) as Result)
  const rows = results.flatMap(({ goals = [], command }) =>
    goals.map(({ figure, goal, measured, reached }) => {
      const shown = reached ? measured : `**${measured}**`
      return `| ${figure} | ${goal} | ${shown} | \`${command}\` |`
    }),
  )
  const lines = ['| figure | goal | measured | repeat with |', '|---|---|---|---|', ...rows]
  const besides = results.flatMap(({ versions = {} }) =>
    Object.entries(versions).map((pair) => pair.join(' ')),
  )
  if (besides.length > 0) lines.push('', `Beside us: ${besides.join(', ')}.`)
  return [...lines, '', ...new Set(results.map(circumstances))].join('\n')
}

/** One line for all parts of one run; a part that was run by itself adds its own. */
function circumstances({ machine, rounds }: Result): string {
  const { cpu, cores, memoryGiB, node, postgres, loadAverage } = machine
  return `Medians of ${rounds} interleaved rounds on ${cores} cores of ${cpu}, ${memoryGiB} GiB, load average ${loadAverage} before; Node ${node}, Postgres ${postgres.split(' ')[0]} (fsync on).`
}
