import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Another process of these tests: it is told its task at birth and says once where it listens. */
export interface Worker {
  readonly process: ChildProcess
  readonly url: string
}

/** Start a script of this folder and wait until it listens. */
export async function startWorker(
  script: string,
  task: object,
  execArgv: readonly string[] = [],
): Promise<Worker> {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), [JSON.stringify(task)], {
    execArgv: ['--import', 'tsx', ...execArgv],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${script} ended with ${code ?? signal} before it listened.`)
  })
  const [url] = (await Promise.race([once(child, 'message'), ended])) as [string]
  ended.catch(() => undefined)
  return { process: child, url }
}

/** End a worker by a signal and wait until it is gone; frozen ones too. */
export async function endWorker(
  { process: child }: Worker,
  signal: NodeJS.Signals = 'SIGKILL',
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  child.kill('SIGCONT')
  await gone
}
