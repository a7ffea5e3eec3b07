import { NotInstalled } from './binaries.js'
import type { Service } from './daemon.js'
import { startPostgres } from './postgres.js'
import { startRedis } from './redis.js'

let shared: readonly Service[] = []

/** Before the first test: one Postgres and one Redis for the whole run. */
export async function mochaGlobalSetup(): Promise<void> {
  const starts = await Promise.allSettled([startPostgres(), startRedis()])
  shared = starts.filter((start) => start.status === 'fulfilled').map((start) => start.value)
  const failed = starts.find((start) => start.status === 'rejected')
  if (failed) {
    await mochaGlobalTeardown()
    throw inOneSentence(failed.reason)
  }
  process.env.TEST_DATABASE_URL = shared[0]!.url
  process.env.TEST_REDIS_URL = shared[1]!.url
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
