import type { BreakerState } from './cache/breaker.js'
import type { RedisConnection } from './cache/connection.js'
import { Misconfigured } from './model/errors.js'
import { isObject } from './model/json.js'
import { checkFields, integer, oneOf, type Fault, type Rule } from './model/rule.js'
import type { Summarize } from './completion/summarizing.js'
import type { SessionLimits } from './sessions/limits.js'
import type { Database } from './store/open.js'
import type { ModelLimitsOption } from './window/limits.js'
import type { Trim } from './window/window.js'
import type { Format } from './wire/format.js'
import { openaiChat } from './wire/openai.js'

/** What went wrong beside a request, with where; never with content. */
export interface FaultContext {
  readonly userId?: string
  readonly sessionId?: string
  readonly turn?: number
}

export interface TurnlogOptions {
  /**
   * A Postgres URL, a Knex instance (stays the host's), pg's own configuration, `'embedded'` (PGlite in TURNLOG_DIR, default
   * ./.turnlog), `'memory'` (PGlite, gone with the process) or `{ directory }`. Default `'embedded'`, which NODE_ENV=production must ask for.
   */
  readonly database?: Database
  /** A Redis URL, ioredis options, or a client or Cluster (stays the host's). Without it the hot window is in process alone. */
  readonly redis?: RedisConnection
  /** Of every table and function. Default `chat_`. */
  readonly tablePrefix?: string
  /** The Postgres schema of the tables; the connection's own by default. */
  readonly schema?: string
  /** For Citus, CockroachDB and YugabyteDB: every turn's call is a statement of its own. Default false. */
  readonly distributed?: boolean
  /** The wire shape of questions and answers. Default chat completions. */
  readonly format?: Format
  /** Messages of history that a new session's prompts may carry, 1 to 1,000. Default 20. */
  readonly maxHistoryMessages?: number
  /**
   * What models take, in tokens, before the built-in table is asked: an object by model name, a function of it, or
   * `modelLimitsFrom(json)`. Models that neither knows are limited by messages alone.
   */
  readonly modelLimits?: ModelLimitsOption
  /** The front edge of a prompt's history: `sliding` with every turn, or `chunked`, rarely and in steps, for prompt caches. Default `sliding`. */
  readonly trim?: Trim
  /** What becomes of messages that fall out of a prompt. Default `summarize` where `summarize` is given, else `drop`. */
  readonly overflow?: 'drop' | 'summarize'
  /** Says in few words what turns said, behind the answer of a turn that overflows; sent in their place from then on. The raw messages stay listed. */
  readonly summarize?: Summarize
  /** Where a resent conversation parts from the stored one: `append` what is new, `reject` the request, or `replace` the stored rest. Default `append`. */
  readonly onDiverge?: 'append' | 'reject' | 'replace'
  /** Roles that a client's new messages may have; a message that is stored already may have any. Default all. */
  readonly acceptRoles?: readonly string[]
  /** Take only what people and tools say: `acceptRoles: ['user', 'tool']`. Default false. */
  readonly verifyResent?: boolean
  /** Seconds of idleness after which a new session expires. Default never. */
  readonly ttlSeconds?: number
  /** What a turn does while another one of its session is open. Default `allow`. */
  readonly concurrency?: 'allow' | 'reject' | 'enqueue'
  /** When an answer cannot be committed within 2 s: `deliver` gives it to the client, marked, and tries on; `fail` does not. Default `deliver`. */
  readonly onStoreFailure?: 'deliver' | 'fail'
  /** Keep the questions of turns that failed in the history: the model sees them without an answer. Default false. */
  readonly includeFailedQuestions?: boolean
  /** Answers that may wait for a store that is away. Default 1,000. */
  readonly maxDeferredAnswers?: number
  /** Their bytes together, as JSON; an answer beyond is lost, and `onFault` told. Default 64 MiB. */
  readonly maxDeferredBytes?: number
  /** How long a turn may take in all. Default 600. */
  readonly turnTimeoutSeconds?: number
  /** How long an enqueued turn waits for the ones before it. Default 30,000. */
  readonly queueTimeoutMs?: number
  /** Messages that one request may bring. Default 1,000. */
  readonly maxQuestionMessages?: number
  /** Levels of nesting in a request's messages. Default 64. */
  readonly maxMessageDepth?: number
  /** The longest answer that is recorded, as it comes over the wire; a longer one passes and its turn fails. Default 16 MiB. */
  readonly maxAnswerBytes?: number
  /** The longest single event of a stream. Default 1 MiB. */
  readonly maxEventBytes?: number
  /** Seconds after which `sweep` purges what was deleted or has expired; nothing is left of it. Default never. */
  readonly retentionSeconds?: number
  /** Seconds between two sweeps of this process; 0: only when `sweep` is called. Default 3,600 with `retentionSeconds`, else 0. */
  readonly sweepIntervalSeconds?: number
  /** How long the hot window is kept. Default 3,600. */
  readonly windowTtlSeconds?: number
  /** Memory for hot windows in this process. Default 64 MiB. */
  readonly maxMemoryBytes?: number
  /** Bounds of sessions and messages that callers give. */
  readonly limits?: SessionLimits
  /** Told of faults that no request can report: an answer that could not be stored, a cache that went away. */
  readonly onFault?: (error: unknown, context: FaultContext) => void
  /** Told when Redis becomes unavailable or available again: the place for a log line and a metric. */
  readonly onCacheState?: (state: BreakerState) => void
}

/** The first lease is short, so that a process that dies at once blocks nobody for long; the recorder renews it (design, section 4). */
export const firstLeaseMs = 10_000
export const leaseMs = 30_000

const misconfigured: Fault = (message) => new Misconfigured(message)

const anything: Rule = { must: 'given', holds: () => true }
const aFunction: Rule = { must: 'a function', holds: (value) => typeof value === 'function' }
const yesOrNo: Rule = { must: 'true or false', holds: (value) => typeof value === 'boolean' }
const identifier: Rule = {
  must: 'a lower-case SQL identifier of at most 41 characters',
  holds: (value) => typeof value === 'string' && /^[a-z_][a-z0-9_]{0,40}$/.test(value),
}
const mebibyte = 1024 * 1024

const rules: Readonly<Record<keyof TurnlogOptions, Rule>> = {
  database: anything,
  redis: anything,
  tablePrefix: identifier,
  schema: identifier,
  distributed: yesOrNo,
  includeFailedQuestions: yesOrNo,
  format: { must: 'a Format', holds: (value) => typeof (value as Format | null)?.reader === 'function' },
  maxHistoryMessages: integer(1, 1000),
  modelLimits: {
    must: 'an object or a function',
    holds: (value) => typeof value === 'function' || isObject(value),
  },
  trim: oneOf('sliding', 'chunked'),
  overflow: oneOf('drop', 'summarize'),
  summarize: aFunction,
  onDiverge: oneOf('append', 'reject', 'replace'),
  acceptRoles: {
    must: 'an array of roles',
    holds: (value) =>
      Array.isArray(value) && value.length > 0 && value.every((role) => typeof role === 'string'),
  },
  verifyResent: { must: 'true or false', holds: (value) => typeof value === 'boolean' },
  ttlSeconds: integer(1, 315_360_000),
  concurrency: oneOf('allow', 'reject', 'enqueue'),
  onStoreFailure: oneOf('deliver', 'fail'),
  maxDeferredAnswers: integer(0, 1_000_000),
  maxDeferredBytes: integer(0, 1024 * 1024 * mebibyte),
  turnTimeoutSeconds: integer(1, 86_400),
  queueTimeoutMs: integer(1, 600_000),
  maxQuestionMessages: integer(1, 100_000),
  maxMessageDepth: integer(2, 1000),
  maxAnswerBytes: integer(1, 1024 * mebibyte),
  maxEventBytes: integer(1, 1024 * mebibyte),
  retentionSeconds: integer(0, 315_360_000),
  sweepIntervalSeconds: integer(0, 86_400),
  windowTtlSeconds: integer(1, 604_800),
  maxMemoryBytes: integer(0, 1024 * 1024 * mebibyte),
  limits: anything,
  onFault: aFunction,
  onCacheState: aFunction,
}

/** Every option, decided. Throws `Misconfigured` whose message says how to repair it. */
export function turnlogOptions(options: TurnlogOptions) {
  checkFields({ ...options }, rules, misconfigured)
  const {
    database = defaultDatabase(),
    redis,
    tablePrefix = 'chat_',
    schema,
    format = openaiChat,
    maxHistoryMessages = 20,
    ttlSeconds,
    concurrency = 'allow',
    onStoreFailure = 'deliver',
    includeFailedQuestions = false,
    maxDeferredAnswers = 1000,
    maxDeferredBytes = 64 * mebibyte,
    turnTimeoutSeconds = 600,
    queueTimeoutMs = 30_000,
    maxQuestionMessages = 1000,
    maxMessageDepth = 64,
    maxAnswerBytes = 16 * mebibyte,
    maxEventBytes = mebibyte,
    retentionSeconds,
    sweepIntervalSeconds = retentionSeconds === undefined ? 0 : 3600,
    windowTtlSeconds = 3600,
    maxMemoryBytes = 64 * mebibyte,
    limits,
    onFault = warn,
    distributed = false,
    onCacheState = () => {},
  } = options
  return {
    database,
    redis,
    tablePrefix,
    schema,
    format,
    maxHistoryMessages,
    ...promptOptions(options),
    ttlSeconds,
    concurrency,
    onStoreFailure,
    includeFailedQuestions,
    maxDeferredAnswers,
    maxDeferredBytes,
    turnTimeoutSeconds,
    queueTimeoutMs,
    maxQuestionMessages,
    maxMessageDepth,
    maxAnswerBytes,
    maxEventBytes,
    retentionSeconds,
    sweepIntervalSeconds,
    windowTtlSeconds,
    maxMemoryBytes,
    limits,
    onFault,
    distributed,
    onCacheState,
  }
}

/** What decides what is sent. */
function promptOptions({
  modelLimits,
  trim = 'sliding',
  onDiverge = 'append',
  verifyResent = false,
  acceptRoles = verifyResent ? ['user', 'tool'] : undefined,
  summarize,
  overflow = summarize ? 'summarize' : 'drop',
}: TurnlogOptions) {
  if (overflow === 'summarize' && !summarize) {
    throw new Misconfigured("overflow: 'summarize' needs summarize: (turns, previous) => text.")
  }
  const summarizes = overflow === 'summarize' ? summarize : undefined
  return { modelLimits, trim, reconcile: { onDiverge, acceptRoles }, summarizes }
}

function defaultDatabase(): Database {
  if (process.env.NODE_ENV !== 'production') return 'embedded'
  throw new Misconfigured(
    "With NODE_ENV=production name the database: createTurnlog({ database: process.env.DATABASE_URL }), or 'embedded' if one process on one machine is what you want.",
  )
}

/** Faults are shown once each as a Node warning where the host does not listen. */
function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error.message : String(error), { type: 'TurnlogWarning' })
}
