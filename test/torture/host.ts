import { startWorker, type Worker } from './process.js'

export interface HostTask {
  readonly database: string
  readonly redis: string
  readonly provider: string
  /** Where the process kills itself, when a request comes that asks for it. */
  readonly crashes?: boolean
}

/** A server as a host writes it: Express, its own handler, Turnlog beside it. */
export const startHost = (task: HostTask, execArgv: readonly string[] = []): Promise<Worker> =>
  startWorker('host-main.ts', task, execArgv)
