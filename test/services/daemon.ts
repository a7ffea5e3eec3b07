import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isReachable, type OsUser } from './binaries.js'

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
  readonly folder: string
  readonly port: number
  readonly url: string
  /** The signal that ends it cleanly. */
  readonly end: NodeJS.Signals
  /** The signal that ends it at once. */
  readonly die: NodeJS.Signals
  /** Rejects while the daemon does not answer. */
  readonly ask: () => Promise<void>
}

/** A temporary folder that `user` owns. */
export function scratchFolder(name: string, user?: OsUser): string {
  const base = user && !isReachable(tmpdir()) ? '/tmp' : tmpdir()
  const folder = mkdtempSync(join(base, `turnlog-${name}-`))
  if (user) chownSync(folder, user.uid, user.gid)
  return folder
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
  #guard: ChildProcess | undefined

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
    const { program, args, user, folder } = this.#recipe
    const log = openSync(this.#log, 'a')
    // Detached: Ctrl-C in a terminal must not take the services away from tests that still run.
    const options = { cwd: folder, detached: true, stdio: ['ignore', log, log] as const, ...user }
    const child = spawn(program, args, { ...options, stdio: ['ignore', log, log] })
    closeSync(log)
    child.on('error', () => {})
    child.unref()
    this.#child = child
    this.#guard = guard(child.pid, this.#recipe)
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
    rmSync(this.#recipe.folder, { recursive: true, force: true })
  }

  get #log(): string {
    return join(this.#recipe.folder, 'log')
  }

  async #kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#guard?.kill('SIGKILL')
    this.#guard = undefined
    this.#child = undefined
    if (!child || child.pid === undefined || hasEnded(child)) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.ref()
    child.kill(signal)
    await ended
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

/** A shell that outlives us: when our end of its input closes, however we die, it ends the daemon and removes its folder. */
function guard(pid: number | undefined, { end, folder }: Recipe): ChildProcess | undefined {
  if (pid === undefined) return undefined
  const script = `read -r _; kill -${end.slice(3)} ${pid}; sleep 1; kill -9 ${pid}; rm -rf "$0"`
  const shell = spawn('/bin/sh', ['-c', script, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  const input = shell.stdin as unknown as { unref(): void }
  input.unref()
  return shell
}
