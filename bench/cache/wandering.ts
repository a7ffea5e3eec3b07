/*
 * How often a begin finds the current window, when the requests of a session wander between processes: memory before
 * Redis, and Redis alone. A turn in the first process that asks is always a miss.
 */
import { randomUUID } from 'node:crypto'

import type { Cache } from '../../lib/cache/cache.js'
import { extendHistory } from '../../lib/cache/entry.js'
import { LayeredCache } from '../../lib/cache/layers.js'
import { MemoryCache } from '../../lib/cache/memory.js'
import type { History, HistoryTurn } from '../../lib/model/history.js'

const sessions = 300
const turns = 20

/** Takes the place of Redis: one cache that all processes share. */
const shared = (): Cache => new MemoryCache()

const aTurn = (turn: number): HistoryTurn => ({
  exchange: turn,
  turn,
  status: 'done',
  messages: [
    { message: { role: 'user', content: `question ${turn}` } },
    { message: { role: 'assistant', content: `answer ${turn}` } },
  ],
})

const after = (history: History, turn: number): History =>
  extendHistory(history, { from: history.revision, to: randomUUID(), turn: aTurn(turn), keepMessages: 20 })!

/** One user who takes turns one after another, each in whichever process the balancer picks. */
async function hitsOf(processes: readonly Cache[]): Promise<number> {
  const session = { userId: 'bench', sessionId: randomUUID() }
  let history: History = { revision: randomUUID(), system: [], turns: [], from: 0, reach: 0 }
  let hits = 0
  for (let turn = 1; turn <= turns; turn++) {
    const cache = processes[Math.floor(Math.random() * processes.length)]!
    const hit = await cache.read(session)
    if (hit?.history.revision === history.revision) hits++
    else if (hit) cache.stale(session)
    history = after(history, turn)
    cache.write(session, history)
  }
  return hits
}

async function hitRate(count: number, layersOf: (redis: Cache) => readonly Cache[]): Promise<string> {
  const redis = shared()
  const processes = Array.from({ length: count }, () => new LayeredCache(layersOf(redis)))
  let hits = 0
  for (let session = 0; session < sessions; session++) hits += await hitsOf(processes)
  return `${Math.round((100 * hits) / (sessions * turns))} %`
}

export async function printWandering(): Promise<void> {
  const rows: object[] = []
  for (const processes of [1, 2, 4, 8])
    rows.push({
      processes,
      'memory before Redis': await hitRate(processes, (redis) => [new MemoryCache(), redis]),
      'Redis alone': await hitRate(processes, (redis) => [redis]),
    })
  console.log(`${sessions} sessions of ${turns} turns, each turn in any process`)
  console.table(rows)
}
