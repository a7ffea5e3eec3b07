import { setTimeout as delay } from 'node:timers/promises'

/** Waits for what other processes bring about; the test's own timeout ends it. */
export async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await delay(20)
}
