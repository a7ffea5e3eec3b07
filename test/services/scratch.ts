import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isReachable, type OsUser } from './binaries.js'

/**
 * Waits until our end of its input closes, however we die; then ends the daemon that lives in the folder and removes both.
 * SIGINT ends Postgres and Redis alike; SIGKILL first would leave Postgres' shared memory behind.
 */
const guardScript = `
read -r _
kill -INT $(cat "$0/pid")
sleep 1
kill -KILL $(cat "$0/pid")
rm -rf "$0"`

/** A temporary folder for one daemon. A shell guards it, so that neither outlives a run that is killed. */
export class Scratch {
  readonly path: string
  #guard: ChildProcess

  constructor(name: string, user?: OsUser) {
    const base = user && !isReachable(tmpdir()) ? '/tmp' : tmpdir()
    this.path = mkdtempSync(join(base, `turnlog-${name}-`))
    this.#guard = guard(this.path)
    if (user) chownSync(this.path, user.uid, user.gid)
  }

  /** The process that lives here from now on. */
  lodge(pid: number): void {
    writeFileSync(join(this.path, 'pid'), String(pid))
  }

  /** Nobody lives here any more. */
  vacate(): void {
    rmSync(join(this.path, 'pid'), { force: true })
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
    this.#guard.kill('SIGKILL')
  }
}

function guard(path: string): ChildProcess {
  const shell = spawn('/bin/sh', ['-c', guardScript, path], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  const input = shell.stdin as unknown as { unref(): void }
  input.unref()
  return shell
}
