import { NotInstalled } from './binaries.js'
import type { Service } from './daemon.js'
import { startPgBouncer } from './pgbouncer.js'
import { startPostgres } from './postgres.js'
import { startRedis } from './redis.js'

let shared: readonly Service[] = []

/** Before the first test: one Postgres and one Redis for the whole run; with TEST_PGBOUNCER set, a PgBouncer before this Postgres. */
export async function mochaGlobalSetup(): Promise<void> {
  const starts = await Promise.allSettled([startPostgres(), startRedis()])
  shared = starts.filter((start) => start.status === 'fulfilled').map((start) => start.value)
  const failed = starts.find((start) => start.status === 'rejected')
  if (failed) {
    await mochaGlobalTeardown()
    throw inOneSentence(failed.reason)
  }
  const [postgres, redis] = shared
  process.env.TEST_DATABASE_URL = process.env.TEST_PGBOUNCER ? await pooled(postgres!) : postgres!.url
  process.env.TEST_REDIS_URL = redis!.url
}

async function pooled(postgres: Service): Promise<string> {
  try {
    const bouncer = await startPgBouncer(postgres)
    shared = [bouncer, ...shared]
    return bouncer.url
  } catch (reason) {
    await mochaGlobalTeardown()
    throw inOneSentence(reason)
  }
}

/** After the last test, also of a run that failed; a run that is killed leaves it to each service's guard. */
export async function mochaGlobalTeardown(): Promise<void> {
  await Promise.all(shared.map((service) => service.stop()))
}

/** What to install matters to whoever reads it; where the tests noticed does not. */
function inOneSentence(reason: unknown): unknown {
  if (reason instanceof NotInstalled) reason.stack = reason.message
  return reason
}
