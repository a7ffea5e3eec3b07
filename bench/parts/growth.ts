import { createTurnlog, type Turnlog } from 'turnlog'

import { writeCursor } from '../../lib/store/cursor.js'
import { migrated } from '../contenders/turnlog.js'
import { drive, figuresOf, interleaved, type Figure, type Sample } from '../measure.js'
import { loadOurs, placesOf, text, type Depth } from '../places.js'
import { times, type Goal } from '../report.js'
import { withClient } from '../stage.js'
import type { Part } from './part.js'

const lengths: readonly Depth[] = [10, 1_000, 100_000, 1_000_000].map((messages) => ({
  messages,
  sessions: 1,
}))
const manySessions = 100_000
const owner = 'user-of-many'

type Figures = Readonly<Record<keyof Sample, Figure>>

/** Whether a turn, a page of messages and a page of sessions cost more as there is more of them. */
export const growth: Part = {
  name: 'growth',
  async run(stage, { rounds, ms }, progressOf) {
    const database = await migrated(await stage.database())
    const progress = progressOf(lengths.length + 1 + rounds * 9)
    await withClient(database, async (client) => {
      for (const length of lengths) {
        progress.step(`loading a session of ${length.messages} messages`)
        await loadOurs(client, length)
      }
      progress.step(`loading ${manySessions} sessions of a user`)
      await client.query(`insert into chat_sessions (user_id, id, revision, activity_at)
        select '${owner}', 'many-' || s, gen_random_uuid(), to_timestamp(${newest / 1000}) - s * interval '1 second' from generate_series(1, ${manySessions}) s`)
      await client.query('vacuum analyze')
    })
    const turnlog = createTurnlog({ database })
    const calls = callsOf(turnlog)
    for (const call of calls.values()) await drive(call, { concurrency: 1, ms: 200 })
    const taken = await interleaved([...calls.keys()], rounds, (name, round) => {
      progress.step(`round ${round + 1}: ${name}`)
      return drive(calls.get(name)!, { concurrency: 1, ms })
    })
    await turnlog.close()
    progress.end()
    const figures = new Map([...taken].map(([name, samples]) => [name, figuresOf(samples)]))
    return {
      title: 'Growth: one call at a time as there is more of everything',
      tables: [
        {
          title: 'turns on a hot window; pages of 50',
          columns: ['p50 ms', 'p99 ms'],
          rows: [...figures].map(([name, { p50, p99 }]) => ({ name, figures: [p50, p99] })),
        },
      ],
      goals: goalsOf(figures),
      chart: {
        title: 'A call as there is more of everything',
        note: 'Median latency, one at a time. Equal bars are the aim.',
        groups: ['turn', 'messages', 'sessions'].map((kind) => ({
          name: kind,
          unit: 'ms',
          bars: [...figures]
            .filter(([name]) => name.startsWith(kind))
            .map(([name, { p50 }]) => ({ name, figure: p50, isOurs: true })),
        })),
      },
    }
  },
}

const turnIn = (messages: number): string => `turn, ${messages.toLocaleString('en-US')} messages`
const firstMessages = 'messages, first page'
const deepMessages = 'messages, page at 500,000'
const firstSessions = 'sessions, first page'
const deepSessions = 'sessions, page at 50,000'

function callsOf(turnlog: Turnlog): Map<string, () => Promise<unknown>> {
  const places = lengths.map((length) => placesOf(length)[0]!)
  const calls = new Map<string, () => Promise<unknown>>(
    lengths.map(({ messages }, at) => [
      turnIn(messages),
      async () => (await turnlog.begin({ ...places[at]!, question: text })).complete(text),
    ]),
  )
  const longest = places.at(-1)!
  const user = { userId: owner, limit: 50 }
  const middle = { messages: writeCursor([250_000, 250_000, 1]), sessions: sessionCursor(manySessions / 2) }
  calls.set(firstMessages, () => turnlog.messages.list({ ...longest, limit: 50 }))
  calls.set(deepMessages, () => turnlog.messages.list({ ...longest, limit: 50, after: middle.messages }))
  calls.set(firstSessions, () => turnlog.sessions.list(user))
  calls.set(deepSessions, () => turnlog.sessions.list({ ...user, after: middle.sessions }))
  return calls
}

/** The sessions' moments of activity are seconds apart, counted back from here. */
const newest = Date.UTC(2026, 0, 1)

const sessionCursor = (number: number): string =>
  writeCursor([new Date(newest - number * 1000).toISOString().replace('Z', '000Z'), `many-${number}`])

function goalsOf(figures: ReadonlyMap<string, Figures>): Goal[] {
  const ratio = (figure: string, of: Figure, base: Figure, most: number): Goal => {
    const measured = of.median / base.median
    return { figure, goal: `<= ${most} x`, measured: times(measured), reached: measured <= most }
  }
  const at = (name: string): Figures => figures.get(name)!
  return [
    ratio(
      'turn at 1,000,000 messages, of the turn at 10 (p50)',
      at(turnIn(1_000_000)).p50,
      at(turnIn(10)).p50,
      1.5,
    ),
    ratio(
      '50 sessions at 50,000 of 100,000, p99 of the first page',
      at(deepSessions).p99,
      at(firstSessions).p99,
      2,
    ),
    ratio(
      '50 messages at 500,000 of 1,000,000, p99 of the first page',
      at(deepMessages).p99,
      at(firstMessages).p99,
      2,
    ),
  ]
}
