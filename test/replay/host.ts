import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'

const repository = path.resolve(import.meta.dirname, '../..')

export interface Host {
  readonly url: string
  readonly token: string
  readonly process: ChildProcess
  /** Everything it printed so far. */
  readonly output: string
  /** SIGTERM, and wait for it to go. Resolves with the exit code. */
  stop(): Promise<number | null>
}

/** Start an example server as its own process, on a free port, and wait until it says how to use it. */
export async function startHost(
  script: string,
  environment: Readonly<Record<string, string>>,
  preload: readonly string[] = [],
): Promise<Host> {
  const imports = ['tsx', ...preload.map((file) => path.resolve(repository, file))].flatMap((file) => [
    '--import',
    file,
  ])
  const child = spawn(process.execPath, [...imports, script], {
    cwd: repository,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit') as Promise<[number | null]>
  let output = ''
  child.stderr.on('data', (chunk) => (output += chunk))
  const lines = createInterface({ input: child.stdout })
  const ready = new Promise<{ url: string; token: string }>((resolve, reject) => {
    let url: string | undefined
    lines.on('line', (line) => {
      output += `${line}\n`
      url ??= /listens on (\S+)/.exec(line)?.[1]
      const token = /^export TOKEN=(\S+)/.exec(line)?.[1]
      if (url !== undefined && token !== undefined) resolve({ url, token })
    })
    exited.then(([code]) => reject(new Error(`${script} ended with ${code}:\n${output}`)), reject)
  })
  const started = await ready
  return {
    ...started,
    process: child,
    get output() {
      return output
    },
    stop: async () => {
      child.kill('SIGTERM')
      return (await exited)[0]
    },
  }
}
