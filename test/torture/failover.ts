import type { Attempt, Change, Prompt, SessionRecord, SessionState } from './record.js'

/** When one database took the place of another: the old one was still whole at `cutAt`, the new one alone took calls from `switchedAt` on. */
export interface Failover {
  readonly cutAt: number
  readonly switchedAt: number
  /** A session as the old database held it at its end, and as the new one did when it took over. */
  readonly old: SessionState | undefined
  readonly promoted: SessionState | undefined
}

/** A session's life on the old database. */
export function beforeFailover(record: SessionRecord, { cutAt, switchedAt, old }: Failover): SessionRecord {
  return {
    session: record.session,
    state: old,
    attempts: record.attempts
      .filter(({ sentAt }) => sentAt < switchedAt)
      .map((attempt) => (attempt.endedAt < cutAt ? attempt : forgotten(attempt))),
    changes: record.changes
      .filter(({ sentAt }) => sentAt < switchedAt)
      .map((change) => (change.endedAt < cutAt ? change : doubted(change))),
    prompts: record.prompts.map((prompt) => (prompt.at < cutAt ? prompt : between(prompt))),
  }
}

/** Its life on the new one: what was acknowledged before counts where the new database had it. */
export function afterFailover(record: SessionRecord, { switchedAt, promoted }: Failover): SessionRecord {
  const isKept = (attempt: Attempt): boolean =>
    attempt.sentAt >= switchedAt || (attempt.outcome === 'acknowledged' && has(promoted, attempt))
  const isChanged = ({ sentAt, kind }: Change): boolean =>
    sentAt >= switchedAt || (kind === 'delete' && promoted?.isActive === false)
  const changes = record.changes.map((change) => (isChanged(change) ? change : doubted(change)))
  // After a delete that both databases had, no prompt is excused.
  const deletes = changes.filter(({ kind, outcome }) => kind === 'delete' && outcome === 'acknowledged')
  const isLate = ({ sentAt }: Attempt): boolean =>
    sentAt >= switchedAt || deletes.some(({ endedAt }) => endedAt < sentAt)
  const late = new Set(record.attempts.filter(isLate).map(({ id }) => id))
  return {
    ...record,
    attempts: record.attempts.map((attempt) => (isKept(attempt) ? attempt : forgotten(attempt))),
    changes,
    prompts: record.prompts.map((prompt) => (late.has(prompt.attempt) ? prompt : between(prompt))),
  }
}

function forgotten({ turn: _turn, answer: _answer, ...attempt }: Attempt): Attempt {
  return { ...attempt, outcome: 'unknown' }
}

const doubted = (change: Change): Change => ({ ...change, outcome: 'unknown' })

const between = (prompt: Prompt): Prompt => ({ ...prompt, between: true })

const has = (state: SessionState | undefined, { turn, answer }: Attempt): boolean =>
  state?.turns.some(
    (each) => each.turn === turn && each.status === 'done' && each.answer[0]?.[1] === answer,
  ) === true
