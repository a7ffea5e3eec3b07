import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Chart } from './chart.js'
import { drawChart } from './chart.js'
import type { Figure } from './measure.js'
import type { Machine } from './stage.js'

export interface Table {
  readonly title: string
  /** The unit of each column after the first. */
  readonly columns: readonly string[]
  readonly rows: readonly { readonly name: string; readonly figures: readonly (Figure | string)[] }[]
}

/** A figure to reach, as issue and README have it. */
export interface Goal {
  readonly figure: string
  readonly goal: string
  readonly measured: string
  readonly reached: boolean
}

/** What a part of the benchmark found. */
export interface Findings {
  readonly title: string
  readonly tables: readonly Table[]
  readonly goals: readonly Goal[]
  readonly chart: Chart
  /** Further charts, by the word that follows the part's name in their files'. */
  readonly moreCharts?: Readonly<Record<string, Chart>>
  /** Versions of what was measured beside us. */
  readonly versions?: Readonly<Record<string, string>>
}

export interface Run {
  readonly command: string
  readonly machine: Machine
  readonly rounds: number
  /** How long the part took. */
  readonly seconds: number
}

/** The JSON and the chart in `folder`, the tables on stdout. */
export function report(part: string, findings: Findings, run: Run, folder: string): void {
  mkdirSync(folder, { recursive: true })
  const { chart, moreCharts = {}, ...found } = findings
  writeFileSync(join(folder, `${part}.json`), `${JSON.stringify({ part, ...run, ...found }, undefined, 2)}\n`)
  writeFileSync(join(folder, `${part}.svg`), drawChart(chart))
  for (const [name, each] of Object.entries(moreCharts))
    writeFileSync(join(folder, `${part}-${name}.svg`), drawChart(each))
  console.log(`\n# ${findings.title}\n`)
  if (found.versions)
    console.log(
      `${Object.entries(found.versions)
        .map((pair) => pair.join(' '))
        .join(', ')}\n`,
    )
  for (const table of findings.tables) printTable(table)
  for (const goal of findings.goals) printGoal(goal)
}

function printTable({ title, columns, rows }: Table): void {
  console.log(title)
  const lines = [['', ...columns], ...rows.map(({ name, figures }) => [name, ...figures.map(written)])]
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  for (const line of lines) {
    const cells = line.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
    console.log(`  ${cells.join('  ')}`)
  }
  console.log()
}

const printGoal = ({ figure, goal, measured, reached }: Goal): void =>
  console.log(`  ${reached ? 'reached    ' : 'not reached'}  ${figure}: ${measured} (goal ${goal})`)

const written = (figure: Figure | string): string =>
  typeof figure === 'string'
    ? figure
    : `${rounded(figure.median)} (${rounded(figure.low)}–${rounded(figure.high)})`

/** Three digits say all that a loaded machine can. */
export const rounded = (value: number): string =>
  Number(value.toPrecision(3)).toLocaleString('en-US', { maximumFractionDigits: 3 })

export const times = (value: number): string => `${value.toFixed(2)} x`
