#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readArguments, WrongUsage, type Request } from './arguments.js'
import { describe } from './failure.js'
import { runMigration } from './migration.js'
import { runSweep } from './sweep.js'

const help = `turnlog migrate [options]     bring the schema to its newest state

  --database URL    postgres://user:password@host:5432/name; default DATABASE_URL
  --to NAME         go up or down to this migration
  --rollback        undo what the last migrate did (everything that the tables hold is lost)
  --status          say which migrations are applied and which are pending
  --sql             print the SQL of every migration and run nothing; of the pending ones when --database is given
  --schema NAME     the schema of the tables; default the connection's own
  --prefix NAME     put before every table's name; default chat_
  --help, --version

turnlog sweep [options]       close turns that dead processes left open, purge what is gone for good

  --retention-seconds N   purge the sessions that were deleted or have expired so long ago; without it none
  --redis URL             forget them there too; default REDIS_URL
  --database, --schema, --prefix

  turnlog migrate --database postgres://app:secret@localhost:5432/app
  turnlog migrate --sql --schema chat > chat.sql
  turnlog sweep --retention-seconds 2592000

Exit codes: 0 done, 1 failed, 2 wrong usage.`

/** The command. Resolves to its exit code. */
async function main(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  let request: Request | undefined
  try {
    request = readArguments(args, env)
    print(process.stdout, await answer(request))
    return 0
  } catch (error) {
    const url = request && 'database' in request ? request.database : undefined
    print(process.stderr, [`turnlog: ${describe(error, url)}`])
    return error instanceof WrongUsage ? 2 : 1
  }
}

async function answer(request: Request): Promise<readonly string[]> {
  if (request.kind === 'help') return [help]
  if (request.kind === 'version') return [version()]
  if (request.kind === 'sweep') return runSweep(request)
  return runMigration(request)
}

const print = (stream: NodeJS.WriteStream, lines: readonly string[]): void =>
  void stream.write(`${lines.join('\n').trimEnd()}\n`)

function version(): string {
  const path = join(__dirname, '../../package.json')
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}

async function run(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2), process.env)
}

void run()
