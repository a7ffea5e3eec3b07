import { Misconfigured } from '../lib/model/errors.js'

/** Where Turnlog's tables lie. */
export interface Place {
  /** Put before every table's and function's name; default `chat_`. */
  readonly prefix?: string
  /** The schema that holds them; default the connection's own. */
  readonly schema?: string
}

/** The quoted names of everything that the migrations make. */
export interface Names {
  readonly prefix: string
  readonly schema: string | undefined
  readonly sessions: string
  readonly turns: string
  readonly messages: string
  readonly leases: string
  readonly beginTurn: string
  readonly completeTurn: string
  readonly readHistory: string
  readonly deleteMessage: string
  readonly forkSession: string
  /** Indexes live in their table's schema; their own name is never qualified when they are made. */
  readonly index: (name: string) => string
  /** A name of ours as it is written in a statement. */
  readonly qualified: (name: string) => string
}

const NAME = /^[a-z_][a-z0-9_]{0,40}$/

function checkName(option: string, value: string): string {
  if (NAME.test(value)) return value
  throw new Misconfigured(
    `${option} must be lower-case letters, digits and _, at most 41, not beginning with a digit; got ${JSON.stringify(value)}.`,
  )
}

/** The names under a prefix and a schema, checked: they stand in statements as they are. */
export function namesAt({ prefix = 'chat_', schema }: Place = {}): Names {
  checkName('prefix', prefix)
  const home = schema === undefined ? '' : `"${checkName('schema', schema)}".`
  const qualified = (name: string): string => `${home}"${prefix}${name}"`
  return {
    prefix,
    schema,
    sessions: qualified('sessions'),
    turns: qualified('turns'),
    messages: qualified('messages'),
    leases: qualified('leases'),
    beginTurn: qualified('begin_v1'),
    completeTurn: qualified('complete_v1'),
    readHistory: qualified('history_v1'),
    deleteMessage: qualified('delete_v1'),
    forkSession: qualified('fork_v1'),
    index: (name) => `"${prefix}${name}"`,
    qualified,
  }
}
