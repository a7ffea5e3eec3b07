/*
 * Turnlog beside what one would pick instead, on a Postgres and a Redis of the run's own:
 *
 *     npm run bench                      every part
 *     npm run bench -- turn floor        these parts
 *     npm run bench -- turn --rounds 9 --ms 1000 --no-competitors
 *
 * Every figure is a median of interleaved rounds of one run: compare figures of one table and of nothing else.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { goalsTable } from './goals.js'
import type { Part, PartOptions } from './parts/part.js'
import { parts } from './parts/parts.js'
import { Progress } from './progress.js'
import { report } from './report.js'
import { machineOf, openStage, type Machine, type Stage } from './stage.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    rounds: { type: 'string', default: '5' },
    ms: { type: 'string', default: '600' },
    competitors: { type: 'boolean', default: true },
    out: { type: 'string', default: join(import.meta.dirname, 'results') },
  },
})

const unknown = positionals.filter((name) => parts.every((part) => part.name !== name))
if (unknown.length > 0) {
  console.error(
    `No such part: ${unknown.join(', ')}. There are: ${parts.map(({ name }) => name).join(', ')}.`,
  )
  process.exit(2)
}

const options: PartOptions = {
  rounds: Number(values.rounds),
  ms: Number(values.ms),
  competitors: values.competitors,
}
const stage = await openStage()
try {
  const machine = await machineOf(stage)
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Node ${machine.node}, Postgres ${machine.postgres} (fsync on), load ${machine.loadAverage}`,
  )
  console.log(
    `medians (lowest–highest) of ${options.rounds} interleaved rounds; ratios within one table alone are to be trusted`,
  )
  for (const part of parts) {
    if (positionals.length > 0 && !positionals.includes(part.name)) continue
    await runPart(part, stage, machine)
  }
  console.log(`\n# All goals, from ${values.out}\n\n${goalsTable(values.out)}`)
} finally {
  await stage.end()
}
// Servers that a failed part left behind go with their parent.
process.exit()

/** A part that fails does not take the others with it. */
async function runPart(part: Part, stage: Stage, machine: Machine): Promise<void> {
  const start = performance.now()
  try {
    const findings = await part.run(stage, options, (steps) => new Progress(part.name, steps))
    const seconds = Math.round((performance.now() - start) / 1000)
    const run = { command: `npm run bench -- ${part.name}`, machine, rounds: options.rounds, seconds }
    report(part.name, findings, run, values.out)
    console.log(`\n  ${part.name} took ${seconds} s`)
  } catch (error) {
    process.exitCode = 1
    console.error(`\nThe part ${part.name} failed; its earlier results stay.`, error)
  }
}
