import { setTimeout as pause } from 'node:timers/promises'

import { HistoryUnavailable, InvalidRequest, Misconfigured, TurnlogError } from '../model/errors.js'

/** A connection or a statement took longer than its deadline. What became of the statement is not known. */
export class DeadlineMissed extends Error {
  readonly code: 'acquire' | 'statement'

  constructor(code: 'acquire' | 'statement', ms: number) {
    super(`No ${code === 'acquire' ? 'connection' : 'answer'} from the database within ${ms} ms.`)
    this.code = code
  }
}

/** Nothing was committed: conflicts that roll back, and servers that did not take the call. */
const refused = new Set([
  '40001',
  '40P01',
  '53300',
  '57P03',
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'acquire',
])

/** The connection or the server went away: a commit may have happened or not. */
const broken = new Set([
  '57P01',
  '57P02',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'statement',
])

/** The tables or the functions are not there. */
const missing = new Set(['42P01', '42883', '3F000'])

/** The database is well, and cannot hold what it was given: data exceptions, and limits of its programs. */
const unstorable = /^(?:22|54)...$/

/** What pg and Knex say without a code when a connection dies. */
const brokenWords =
  /connection terminated|connection ended|timeout expired|not queryable|client was closed|timeout acquiring a connection/i

const codeOf = (error: unknown): string => {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** The fault passes, and the call certainly had no effect: any call may be repeated. */
export const isRefused = (error: unknown): boolean => refused.has(codeOf(error))

/** The fault passes: a call that knows itself again (by a nonce, or because it only reads) may be repeated. */
export function isTransient(error: unknown): boolean {
  if (error instanceof TurnlogError) return false
  const code = codeOf(error)
  if (refused.has(code) || broken.has(code) || code.startsWith('08')) return true
  return error instanceof Error && brokenWords.test(error.message)
}

/** What a caller of the store sees: one of our own errors, with the driver's as its cause. */
export function asFault(error: unknown): TurnlogError {
  if (error instanceof TurnlogError) return error
  const code = codeOf(error)
  if (unstorable.test(code)) return unstorableFault(error)
  return missing.has(code) ? noTables(error) : new HistoryUnavailable(error)
}

export const noTables = (cause?: unknown): Misconfigured =>
  new Misconfigured(
    'The database has no tables of Turnlog under this prefix and schema. Run `turnlog migrate`.',
    { cause },
  )

/** A repeat would fail like the first try. */
export const unstorableFault = (cause: unknown): InvalidRequest =>
  new InvalidRequest(
    'What is to be stored is nested too deeply, or holds a value that JSON or Postgres does not know.',
    { cause },
  )

const firstPauseMs = 20
const longestPauseMs = 400

/** Repeat the work while its fault passes and the time lasts; pauses grow and are random, so that callers part. */
export async function retrying<Result>(
  work: () => Promise<Result>,
  withinMs: number,
  passes: (error: unknown) => boolean,
): Promise<Result> {
  const end = performance.now() + withinMs
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const ms = Math.random() * Math.min(firstPauseMs * 2 ** attempt, longestPauseMs)
      if (!passes(error) || performance.now() + ms > end) throw error
      await pause(ms)
    }
  }
}
