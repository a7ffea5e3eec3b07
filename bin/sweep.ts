import { createTurnlog } from '../lib/turnlog.js'
import type { Request } from './arguments.js'

/** Sweep once; the lines to print. */
export async function runSweep({
  database,
  redis,
  place,
  retentionSeconds,
}: Request & { kind: 'sweep' }): Promise<readonly string[]> {
  const turnlog = createTurnlog({
    database,
    sweepIntervalSeconds: 0,
    ...(redis !== undefined && { redis }),
    ...(place.prefix !== undefined && { tablePrefix: place.prefix }),
    ...(place.schema !== undefined && { schema: place.schema }),
    ...(retentionSeconds !== undefined && { retentionSeconds }),
  })
  try {
    const swept = await turnlog.sweep()
    if (!swept) return ['Another process is sweeping.']
    return [`closed  ${swept.closedTurns} turns`, `purged  ${swept.purgedSessions} sessions`]
  } finally {
    await turnlog.close()
  }
}
