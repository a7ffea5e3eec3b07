import { mkdir, readdir, unlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import { Misconfigured } from '../model/errors.js'

/** What the system allows as a socket's path, the closing NUL not counted: 108 on Linux, 104 on macOS and BSD. */
const longestSocketPath = process.platform === 'linux' ? 107 : 103
const lockName = /^lock\.(\d{1,9})$/
const settleMs = 100
const attempts = 4
/** Numbers go on rising while dead locks are removed; the path must have room for them. */
const roomForNumber = 'lock.000000000'

/** A directory that this process alone uses, until it closes or dies. */
export interface DirectoryLock {
  release(): Promise<void>
}

function inUse(directory: string): Misconfigured {
  return new Misconfigured(
    `The directory ${directory} is in use by another process. The embedded database serves one process only: stop the other one, give this one a directory of its own, or use Postgres (DATABASE_URL).`,
  )
}

async function numbersIn(directory: string): Promise<number[]> {
  const names = await readdir(directory)
  return names
    .flatMap((name) => lockName.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}

const pathOf = (directory: string, number: number): string => join(directory, `lock.${number}`)

/**
 * Whether somebody listens. The kernel answers for a stopped process too, and for one in another container: no pid is
 * compared. A full queue of connections is an answer as well.
 */
function isLive(path: string): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect(path)
    socket.on('connect', () => {
      socket.destroy()
      settle(true)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT')
    })
  })
}

/** Binding is exclusive: of two that try one number, one gets it. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((settle, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') settle(undefined)
      else reject(error)
    })
    server.listen(path, () => {
      server.unref()
      settle(server)
    })
  })
}

/** Closing also removes the socket's file. */
const close = (server: Server): Promise<void> => new Promise((done) => server.close(() => done()))

/** Somebody else is before us, or came after us and does not know yet that it must step back. */
async function isContested(directory: string, own: number): Promise<boolean> {
  for (const number of await numbersIn(directory)) {
    if (number > own) return true
    if (number < own && (await isLive(pathOf(directory, number)))) return true
  }
  return false
}

async function attempt(directory: string): Promise<DirectoryLock | undefined> {
  const highest = (await numbersIn(directory)).at(-1)
  if (highest !== undefined && (await isLive(pathOf(directory, highest)))) return undefined
  const own = (highest ?? 0) + 1
  const server = await listen(pathOf(directory, own))
  if (server === undefined) return undefined
  await pause(settleMs)
  if (await isContested(directory, own)) {
    await close(server)
    return undefined
  }
  const dead = (await numbersIn(directory)).filter((number) => number < own)
  await Promise.all(dead.map((number) => unlink(pathOf(directory, number)).catch(() => undefined)))
  return { release: () => close(server) }
}

/**
 * Lock a directory for this process. The lock is a listening socket inside it: it ends with its process however that
 * ends, and a stopped or foreign process still holds it. Throws `Misconfigured` when somebody else has it.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const longest = join(resolve(directory), roomForNumber)
  if (Buffer.byteLength(longest) > longestSocketPath) {
    throw new Misconfigured(
      `The path ${resolve(directory)} is too long for the embedded database's lock: at most ${longestSocketPath - roomForNumber.length - 1} bytes. Choose a shorter directory.`,
    )
  }
  await mkdir(directory, { recursive: true })
  for (let left = attempts; left > 0; left--) {
    const lock = await attempt(resolve(directory))
    if (lock !== undefined) return lock
    if (left > 1) await pause(settleMs * (0.5 + 2 * Math.random()))
  }
  throw inUse(directory)
}
