import { setTimeout as sleep } from 'node:timers/promises'

import type { Cache } from './cache/cache.js'
import { openCache } from './cache/open.js'
import { Beginning, type BeginOptions } from './completion/begin.js'
import { Counting } from './completion/counting.js'
import { Ending } from './completion/ending.js'
import { Previewing, type Preview } from './completion/preview.js'
import type { BeginRequest, ContextRequest } from './completion/request.js'
import { Summaries } from './completion/summarizing.js'
import type { Turn } from './completion/turn.js'
import { TurnlogError } from './model/errors.js'
import { firstLeaseMs, leaseMs, turnlogOptions, type TurnlogOptions } from './options.js'
import { createMessages, type Messages } from './sessions/messages.js'
import { createSessions, type Sessions } from './sessions/sessions.js'
import { Sweeper, type Swept } from './sessions/sweeper.js'
import { createTurns, type Turns } from './sessions/turns.js'
import type { SessionFields } from './model/session.js'
import { openStore } from './store/open.js'
import type { Store } from './store/store.js'

/** A memory for LLM endpoints: turns to begin, sessions and messages to look at. */
export interface Turnlog {
  /**
   * Store a question and get what to send.
   *
   *     const turn = await turnlog.begin({ userId, sessionId, question: 'And in Celsius?' })
   *     const answer = await provider.chat.completions.create({ model, messages: turn.messages })
   *     await turn.complete(answer.choices[0].message, { usage: answer.usage })
   */
  begin(request: BeginRequest): Promise<Turn>
  /** What a begin of this request would send now, with its receipt. Writes nothing. Rejects as the begin would. */
  context(request: ContextRequest): Promise<Preview>
  readonly sessions: Sessions
  readonly messages: Messages
  readonly turns: Turns
  /**
   * Purge the sessions that were deleted or have expired `retentionSeconds` ago, and close the turns that dead processes left
   * open. One process at a time: `undefined` while another one sweeps.
   */
  sweep(): Promise<Swept | undefined>
  /**
   * Resolves when the store answers and tokens of the named models can be counted. Nothing needs it; readiness checks like
   * it. Loading what counts takes a thread up to a second, once: behind the first turn's end, or here.
   */
  ready(options?: { readonly models?: readonly string[] }): Promise<void>
  /**
   * Begin no more turns, give running ones `drainMs` (default 10,000) to finish, keep the others as interrupted, store what was
   * deferred and end our own connections: within 2 s after the drain, whatever the store does. What could not be stored is told
   * to `onFault`. Repeated calls wait for the first.
   */
  close(options?: { readonly drainMs?: number }): Promise<void>
}

const defaultDrainMs = 10_000

/** A listener of the host's that throws must not take an ending with it. */
function tell(listener: () => void): void {
  try {
    listener()
  } catch (error) {
    process.emitWarning(error as Error)
  }
}

/**
 * Synchronous; connects when first used.
 *
 *     const turnlog = createTurnlog({ database: process.env.DATABASE_URL, redis: process.env.REDIS_URL })
 */
export function createTurnlog(given: TurnlogOptions = {}): Turnlog {
  const options = turnlogOptions(given)
  const { format, limits } = options
  const newSession = newSessionOf(options)
  const store = openStore(options.database, {
    prefix: options.tablePrefix,
    schema: options.schema,
    single: options.distributed,
  })
  const cache = openCache({
    redis: options.redis,
    windowTtlSeconds: options.windowTtlSeconds,
    maxMemoryBytes: options.maxMemoryBytes,
    onState: options.onCacheState,
  })
  const ending = openEnding(options, store, cache)
  const counting = openCounting(options)
  const summaries = openSummaries(options, store, cache, counting)
  const beginning = new Beginning(store, cache, ending, counting, summaries, beginOptions(options))
  const previewing = new Previewing(store, counting, beginOptions(options))
  const sweeper = openSweeper(options, store, cache)

  let closing: Promise<void> | undefined
  async function shutDown(drainMs: number): Promise<void> {
    counting.close()
    summaries?.close()
    const begun = Promise.all([beginning.close(), sweeper.close()])
    const drained = new AbortController()
    const late = sleep(drainMs, undefined, { signal: drained.signal }).catch(() => undefined)
    await Promise.race([begun.then(() => Promise.all([...beginning.open].map((turn) => turn.ended))), late])
    drained.abort()
    await within(longestFlushMs, keepTheRest(begun))
    ending.deferred.giveUp()
    await within(longestEndMs, Promise.all([cache.close(), store.close(), counting.end()]))
  }

  /** What still runs is interrupted with what was said, and what was deferred is tried once more. */
  async function keepTheRest(begun: Promise<unknown>): Promise<void> {
    await begun
    const reason = new TurnlogError('closing', 503, 'The server is shutting down.')
    await Promise.all([...beginning.open].map((turn) => turn.abandon(reason)))
    await ending.deferred.close()
  }

  return {
    begin: async (request) => {
      // Resolved after the first time; rejects only where the cache's own library is missing.
      await cache.ready()
      return beginning.begin(request)
    },
    context: (request) => previewing.preview(request),
    sessions: createSessions(store, limits, newSession),
    messages: createMessages(store, format, limits),
    turns: createTurns(store),
    sweep: () => sweeper.sweep(),
    ready: async ({ models = [] } = {}) =>
      void (await Promise.all([
        store.ready(),
        cache.ready(),
        ...models.map((model) => counting.load(model)),
      ])),
    close: ({ drainMs = defaultDrainMs } = {}) => (closing ??= shutDown(drainMs)),
  }
}

/** After the drain, `close` takes no longer than these two, whatever the store does: 2 s in all. */
const longestFlushMs = 1_500
const longestEndMs = 500

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController()
  const late = sleep(ms, undefined, { signal: done.signal }).catch(() => undefined)
  await Promise.race([work, late]).finally(() => done.abort())
}

type Options = ReturnType<typeof turnlogOptions>

const newSessionOf = ({ maxHistoryMessages, ttlSeconds }: Options): SessionFields => ({
  maxHistoryMessages,
  ttlSeconds,
})

const openEnding = (options: Options, store: Store, cache: Cache): Ending =>
  new Ending(store, cache, {
    onStoreFailure: options.onStoreFailure,
    includeFailedQuestions: options.includeFailedQuestions,
    deferredCapacity: options.maxDeferredAnswers,
    deferredBytes: options.maxDeferredBytes,
    onFault: (error, { userId, sessionId, turn }) =>
      tell(() => options.onFault(error, { userId, sessionId, turn })),
  })

function openSummaries(
  { summarizes, onFault }: Options,
  store: Store,
  cache: Cache,
  counting: Counting,
): Summaries | undefined {
  if (!summarizes) return undefined
  return new Summaries(store, cache, counting, {
    summarize: summarizes,
    onFault: (error, session) => tell(() => onFault(error, session)),
  })
}

const openCounting = ({ modelLimits, onFault }: Options): Counting =>
  new Counting({ modelLimits, onFault: (error) => tell(() => onFault(error, {})) })

const openSweeper = (options: Options, store: Store, cache: Cache): Sweeper =>
  new Sweeper(store, cache, {
    retentionSeconds: options.retentionSeconds,
    intervalSeconds: options.sweepIntervalSeconds,
    onFault: (error) => tell(() => options.onFault(error, {})),
  })

const beginOptions = (options: Options): BeginOptions => ({
  format: options.format,
  concurrency: options.concurrency,
  newSession: newSessionOf(options),
  firstLeaseMs,
  leaseMs,
  longestTurnMs: options.turnTimeoutSeconds * 1000,
  longestWaitMs: options.queueTimeoutMs,
  maxQuestionMessages: options.maxQuestionMessages,
  maxDepth: options.maxMessageDepth,
  recorderLimits: { bytes: options.maxAnswerBytes, eventBytes: options.maxEventBytes },
  trim: options.trim,
  reconcile: options.reconcile,
})
