import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Goal, Run } from './report.js'

interface Result extends Run {
  readonly part: string
  readonly goals?: readonly Goal[]
}

/** What the parts in `folder` found beside what is to be reached, as the README's table. What was missed is bold. */
export function goalsTable(folder: string, parts: readonly string[]): string {
  const results = parts
    .map((part) => join(folder, `${part}.json`))
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')) as Result)
  const rows = results.flatMap(({ goals = [], command }) =>
    goals.map(({ figure, goal, measured, reached }) => {
      const shown = reached ? measured : `**${measured}**`
      return `| ${figure} | ${goal} | ${shown} | \`${command}\` |`
    }),
  )
  return ['| figure | goal | measured | repeat with |', '|---|---|---|---|', ...rows].join('\n')
}
