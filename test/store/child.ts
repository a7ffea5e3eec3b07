import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('child-main.ts', import.meta.url))

/** What a child process of these tests is told to do. */
export type Task =
  | { readonly do: 'lock'; readonly directory: string }
  | { readonly do: 'embed'; readonly directory?: string; readonly sessionId?: string }
  | {
      readonly do: 'call'
      readonly url: string
      readonly name: string
      readonly sessions: readonly string[]
      readonly callers: number
      readonly turns: number
    }

export interface Child {
  readonly process: ChildProcess
  /** What it answered: `locked`, `done`, or an error's text. */
  readonly answer: Promise<string>
  readonly end: () => Promise<void>
}

/** Another process that does one thing, answers, and stays until it is ended. */
export function child(task: Task, env: NodeJS.ProcessEnv = {}): Child {
  const started = fork(script, [JSON.stringify(task)], {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, ...env },
  })
  const answer = once(started, 'message').then(([message]) => String(message))
  return {
    process: started,
    answer,
    end: async () => {
      if (started.exitCode !== null || started.signalCode !== null) return
      const gone = once(started, 'exit')
      started.kill('SIGKILL')
      await gone
    },
  }
}
