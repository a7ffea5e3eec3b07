import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { OsUser } from './binaries.js'
import type { Scratch } from './scratch.js'

/** A service that the tests started, on a free loopback port with a temporary directory of its own. */
export interface Service {
  readonly url: string
  readonly port: number
  /** Changes with every restart. */
  readonly pid: number
  /** Die at once and stay down, as in a power cut; the directory stays. */
  crash(): Promise<void>
  /** Come back on the same port and directory. */
  restart(): Promise<void>
  /** End for good and remove the directory. Repeated calls do nothing. */
  stop(): Promise<void>
}

/** How one kind of daemon is started, asked and ended. */
export interface Recipe {
  readonly program: string
  readonly args: readonly string[]
  readonly user?: OsUser | undefined
  readonly scratch: Scratch
  readonly port: number
  readonly url: string
  /** The signal that ends it cleanly. */
  readonly end: NodeJS.Signals
  /** The signal that ends it at once. */
  readonly die: NodeJS.Signals
  /** Rejects while the daemon does not answer. */
  readonly ask: () => Promise<void>
}

/** Below the range that the system hands to clients, and low enough for the Redis Cluster bus at port + 10,000. */
export async function freePort(): Promise<number> {
  const port = 12_000 + Math.floor(Math.random() * 10_000)
  return (await isFree(port)) && (await isFree(port + 10_000)) ? port : freePort()
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Start a daemon and wait until it answers. */
export async function startDaemon(recipe: Recipe): Promise<Service> {
  const daemon = new Daemon(recipe)
  try {
    await daemon.start()
  } catch (error) {
    await daemon.stop()
    throw error
  }
  return daemon
}

class Daemon implements Service {
  readonly url: string
  readonly port: number
  #recipe: Recipe
  #child: ChildProcess | undefined

  constructor(recipe: Recipe) {
    this.#recipe = recipe
    this.url = recipe.url
    this.port = recipe.port
  }

  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error('The service is down.')
    return pid
  }

  async start(): Promise<void> {
    const { program, args, user, scratch } = this.#recipe
    const log = openSync(this.#log, 'a')
    // Detached: Ctrl-C in a terminal must not take the services away from tests that still run.
    const child = spawn(program, args, {
      cwd: scratch.path,
      detached: true,
      stdio: ['ignore', log, log],
      ...user,
    })
    closeSync(log)
    child.on('error', () => {})
    child.unref()
    if (child.pid !== undefined) scratch.lodge(child.pid)
    this.#child = child
    await this.#answers(child)
  }

  async crash(): Promise<void> {
    await this.#kill(this.#recipe.die)
  }

  async restart(): Promise<void> {
    await this.#kill(this.#recipe.end)
    await this.start()
  }

  async stop(): Promise<void> {
    await this.#kill(this.#recipe.end)
    this.#recipe.scratch.remove()
  }

  get #log(): string {
    return join(this.#recipe.scratch.path, 'log')
  }

  async #kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.pid === undefined || hasEnded(child)) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.ref()
    child.kill(signal)
    // A test may have frozen it.
    child.kill('SIGCONT')
    await ended
    this.#recipe.scratch.vacate()
  }

  async #answers(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + 60_000
    for (;;) {
      if (child.pid === undefined || hasEnded(child) || Date.now() > deadline) throw this.#failure()
      try {
        return await this.#recipe.ask()
      } catch {
        await delay(40)
      }
    }
  }

  #failure(): Error {
    const said = readFileSync(this.#log, 'utf8').slice(-2000)
    return new Error(`${this.#recipe.program} did not start:\n${said}`)
  }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null
