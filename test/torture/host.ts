import { once } from 'node:events'

import { startWorker, type Worker } from './process.js'

export interface HostTask {
  readonly database: string
  readonly redis: string
  readonly provider: string
  /** Requests may ask the process to kill itself at a crash point. */
  readonly crashes?: boolean
  /** For hot windows; the package's own default when absent. */
  readonly maxMemoryBytes?: number
}

/** What a server process has and holds, after its rubbish was collected. */
export interface Measure {
  readonly heapBytes: number
  /** Timers, sockets and the like, by kind. */
  readonly resources: Readonly<Record<string, number>>
}

/** Ask a server process, which must run with --expose-gc. */
export async function measure({ process: child }: Worker): Promise<Measure> {
  const answer = once(child, 'message')
  child.send('measure')
  const [measured] = (await answer) as [Measure]
  return measured
}

/** A server as a host writes it: Express, its own handler, Turnlog beside it. */
export const startHost = (task: HostTask, execArgv: readonly string[] = []): Promise<Worker> =>
  startWorker('host-main.ts', task, execArgv)
