import { parseArgs } from 'node:util'
import { unknownField } from '../lib/model/rule.js'
import { namesAt, type Place } from '../migrations/names.js'

/** What the command line asks for. */
export type Request =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'migrate' | 'rollback' | 'status'
      readonly database: string
      readonly place: Place
      readonly to?: string
    }
  | {
      readonly kind: 'sweep'
      readonly database: string
      readonly redis?: string
      readonly place: Place
      readonly retentionSeconds?: number
    }
  | { readonly kind: 'sql'; readonly database?: string; readonly place: Place }

/** The command line is wrong; the message says how to repair it. */
export class WrongUsage extends Error {}

const options = {
  to: { type: 'string' },
  rollback: { type: 'boolean' },
  status: { type: 'boolean' },
  sql: { type: 'boolean' },
  database: { type: 'string' },
  redis: { type: 'string' },
  'retention-seconds': { type: 'string' },
  schema: { type: 'string' },
  prefix: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const

type Name = keyof typeof options
type Values = { readonly [name in Name]?: (typeof options)[name]['type'] extends 'string' ? string : boolean }

const commands = ['migrate', 'sweep']
/** What one command takes and the other does not. */
const own = {
  migrate: ['to', 'rollback', 'status', 'sql'],
  sweep: ['redis', 'retention-seconds'],
} as const

/** Read the arguments after the program's name, with `DATABASE_URL` in place of a missing `--database`. */
export function readArguments(args: readonly string[], env: NodeJS.ProcessEnv): Request {
  const { values, positionals } = parse(args)
  if (values.help) return { kind: 'help' }
  if (values.version) return { kind: 'version' }
  const command = checkCommand(positionals)
  checkOwn(command, values)
  checkTogether(values)
  const place = placeOf(values)
  if (values.sql) return { kind: 'sql', place, ...given('database', checkedUrl(values.database)) }
  const database = checkedUrl(values.database ?? env.DATABASE_URL)
  if (database === undefined)
    throw new WrongUsage('Say which database: --database postgres://… or DATABASE_URL.')
  if (command === 'sweep') return sweepRequest(values, env, database, place)
  if (values.status) return { kind: 'status', database, place }
  if (values.rollback) return { kind: 'rollback', database, place }
  return { kind: 'migrate', database, place, ...given('to', values.to) }
}

function parse(args: readonly string[]): { values: Values; positionals: string[] } {
  // Not strict: parseArgs' own errors do not say what was meant.
  const { tokens, values, positionals } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  for (const token of tokens) if (token.kind === 'option') checkOption(token)
  return { values: values as Values, positionals }
}

interface OptionToken {
  readonly name: string
  readonly rawName: string
  readonly value?: string | undefined
}

function checkOption({ name, rawName, value }: OptionToken): void {
  if (!Object.hasOwn(options, name)) throw new WrongUsage(unknownOption(name, rawName))
  const { type } = options[name as Name]
  if (type === 'boolean' && value !== undefined)
    throw new WrongUsage(`${rawName} takes no value: write ${rawName} alone.`)
  if (type === 'boolean' || (value !== undefined && value !== '' && !value.startsWith('-'))) return
  throw new WrongUsage(`${rawName} needs a value: ${rawName} ${name.toUpperCase()}.`)
}

function unknownOption(name: string, rawName: string): string {
  if (rawName === '--url') return '--url is not a known option. Did you mean --database?'
  const dashed = Object.keys(options).map((known) => `--${known}`)
  return unknownField(`--${name}`, dashed, 'option')
}

function checkCommand(positionals: readonly string[]): keyof typeof own {
  const [command, ...rest] = positionals
  if (command === undefined)
    throw new WrongUsage('Say what to do: turnlog migrate or turnlog sweep. turnlog --help shows more.')
  if (!commands.includes(command)) throw new WrongUsage(unknownField(command, commands, 'command'))
  if (rest.length > 0)
    throw new WrongUsage(
      `${command} takes options alone, got "${rest[0]}".${command === 'migrate' ? ` Did you mean --to ${rest[0]}?` : ''}`,
    )
  return command as keyof typeof own
}

function checkOwn(command: keyof typeof own, values: Values): void {
  const other = command === 'migrate' ? 'sweep' : 'migrate'
  const wrong = own[other].find((name) => values[name] !== undefined)
  if (wrong !== undefined)
    throw new WrongUsage(`--${wrong} belongs to turnlog ${other}, not to turnlog ${command}.`)
}

function sweepRequest(values: Values, env: NodeJS.ProcessEnv, database: string, place: Place): Request {
  const seconds = values['retention-seconds']
  if (seconds !== undefined && !/^\d{1,9}$/.test(seconds))
    throw new WrongUsage(`--retention-seconds must be a whole number of seconds, got "${seconds}".`)
  return {
    kind: 'sweep',
    database,
    place,
    ...given('redis', values.redis ?? env.REDIS_URL),
    ...given('retentionSeconds', seconds === undefined ? undefined : Number(seconds)),
  }
}

function checkTogether(values: Values): void {
  const asked = (['to', 'rollback', 'status', 'sql'] as const).filter((name) => values[name] !== undefined)
  if (asked.length > 1)
    throw new WrongUsage(`Give one of ${asked.map((name) => `--${name}`).join(' and ')}, not both.`)
}

function placeOf({ schema, prefix }: Values): Place {
  const place = { ...given('schema', schema), ...given('prefix', prefix) }
  try {
    namesAt(place)
  } catch (error) {
    throw new WrongUsage(`--${(error as Error).message}`, { cause: error })
  }
  return place
}

/** The value itself may hold a password and is not shown. */
function checkedUrl(url: string | undefined): string | undefined {
  if (url === undefined || url === '') return undefined
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) return url
  throw new WrongUsage(
    'The database must be a URL such as postgres://user:password@host:5432/name (special characters percent-encoded).',
  )
}

const given = <N extends string, V>(name: N, value: V | undefined): { [name in N]?: V } =>
  (value === undefined ? {} : { [name]: value }) as { [name in N]?: V }
