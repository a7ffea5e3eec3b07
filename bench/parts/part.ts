import type { Progress } from '../progress.js'
import type { Findings } from '../report.js'
import type { Stage } from '../stage.js'

export interface PartOptions {
  readonly rounds: number
  /** How long one measurement lasts, in milliseconds. */
  readonly ms: number
  /** Whether other packages are installed and measured too. */
  readonly competitors: boolean
}

/** One part of the benchmark. */
export interface Part {
  readonly name: string
  run(stage: Stage, options: PartOptions, progress: (steps: number) => Progress): Promise<Findings>
}
