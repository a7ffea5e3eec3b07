import { randomUUID } from 'node:crypto'

import { Redis } from 'ioredis'
import { Pool } from 'pg'

import type { Contender } from '../contenders/contender.js'
import { loadSessions, migrated, turnlogContender } from '../contenders/turnlog.js'
import { drive, figuresOf, interleaved } from '../measure.js'
import { placesOf, text, type Place } from '../places.js'
import { times } from '../report.js'
import type { Part } from './part.js'

const depth = { messages: 20, sessions: 480 }
const ours = 'Turnlog, window in memory'
const floor = 'the two functions, bare pg'
const get = 'one Redis GET and parse'

/** What a turn cannot go below: its two stored functions called by `pg` with a pool of the same size, and one GET of a window. */
export const floorPart: Part = {
  name: 'floor',
  async run(stage, { rounds, ms }, progressOf) {
    const contenders = [
      await turnlogContender(ours, await stage.database(), {}),
      await bareCalls(await stage.database()),
      await redisGets(stage.redisUrl),
    ]
    const progress = progressOf(2 * rounds * contenders.length)
    const places = placesOf(depth)
    for (const contender of contenders) {
      await contender.load(depth)
      for (const place of places) await contender.turn(place)
    }
    const tables = []
    const p50s = new Map<string, number>()
    for (const concurrency of [1, 32]) {
      const share = Math.floor(places.length / concurrency)
      const samples = await interleaved(contenders, rounds, (contender, round) => {
        progress.step(`${concurrency} at once, round ${round + 1}: ${contender.name}`)
        return drive((worker, n) => contender.turn(places[worker + (n % share) * concurrency]!), {
          concurrency,
          ms,
          serverCpu: () => stage.postgresCpu(),
        })
      })
      const rows = [...samples].map(([{ name, isOurs }, taken]) => ({
        name,
        isOurs,
        taken: figuresOf(taken),
      }))
      if (concurrency === 1) for (const { name, taken } of rows) p50s.set(name, taken.p50.median)
      tables.push({ concurrency, rows })
    }
    await Promise.all(contenders.map((contender) => contender.close()))
    progress.end()
    const ratio = p50s.get(ours)! / p50s.get(floor)!
    return {
      title: 'The floor: what the two commits of a turn cost by themselves',
      tables: tables.map(({ concurrency, rows }) => ({
        title: `20 messages a session, ${concurrency} at once`,
        columns: ['/s', 'p50 ms', 'p99 ms', 'CPU us', 'Postgres CPU us'],
        rows: rows.map(({ name, taken: { rate, p50, p99, cpu, serverCpu } }) => ({
          name,
          figures: [rate, p50, p99, cpu, serverCpu],
        })),
      })),
      goals: [
        {
          figure: 'turn p50 at 1, hot, of the two bare calls',
          goal: '<= 1.3 x',
          measured: times(ratio),
          reached: ratio <= 1.3,
        },
      ],
      chart: {
        title: 'A turn and its floor',
        note: 'Median latency of one turn, one at a time. Shorter is better.',
        groups: [
          {
            name: 'one at a time',
            unit: 'ms',
            bars: tables[0]!.rows.map(({ name, isOurs, taken }) => ({ name, isOurs, figure: taken.p50 })),
          },
        ],
      },
    }
  },
}

/** No lane, no window, no cache, no checks: the calls that a hot turn makes. */
async function bareCalls(database: string): Promise<Contender> {
  await migrated(database)
  const pool = new Pool({ connectionString: database, max: 10 })
  const revisions = new Map<string, string>()
  const call = async (name: 'begin' | 'complete', { userId, sessionId }: Place, fields: object) => {
    const { rows } = await pool.query<unknown[]>({
      text: `select * from chat_${name}_v1($1, $2, $3::jsonb, true)`,
      values: [userId, sessionId, JSON.stringify(fields)],
      rowMode: 'array',
    })
    return rows[0]!
  }
  return {
    name: floor,
    isOurs: false,
    load: (size) => loadSessions(database, size),
    turn: async (place) => {
      const nonce = randomUUID()
      const revision = revisions.get(place.sessionId)
      const begun = await call('begin', place, {
        nonce,
        question: [{ role: 'user', content: text }],
        format: 'openai',
        lease: 10_000,
        revision,
        held: 20,
        from: 1,
      })
      if (begun[0] !== 'begun' || (revision !== undefined && begun[7] !== null))
        throw new Error('The bare begin was not hot.')
      const done = await call('complete', place, {
        turn: begun[1],
        nonce,
        ending: 'done',
        answer: [{ role: 'assistant', content: text }],
        receipt: JSON.stringify({ injected: 20, dropped: 0, source: 'memory' }),
      })
      revisions.set(place.sessionId, done[3] as string)
    },
    close: () => pool.end(),
  }
}

async function redisGets(url: string): Promise<Contender> {
  const redis = new Redis(url)
  const window = JSON.stringify(Array.from({ length: 20 }, () => ({ role: 'user', content: text })))
  return {
    name: get,
    isOurs: false,
    load: async (size) => {
      for (const { sessionId } of placesOf(size)) await redis.set(`floor:${sessionId}`, window)
    },
    turn: async ({ sessionId }) => void JSON.parse((await redis.get(`floor:${sessionId}`))!),
    close: async () => redis.disconnect(),
  }
}
