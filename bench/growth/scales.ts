import type { Client } from 'pg'
import type { Turnlog } from 'turnlog'

import { writeCursor } from '../../lib/store/cursor.js'
import { loadOurs, text, type Place } from '../places.js'

/** One thing that is done as there is more of something. */
export interface Call {
  readonly name: string
  run(turnlog: Turnlog, size: number, n: number): Promise<unknown>
}

/** Something that there is more and more of, each size in a database of its own. */
export interface Scale {
  readonly name: string
  readonly title: string
  readonly unit: string
  readonly sizes: readonly number[]
  /** Of the windows in the process while calls are measured. */
  readonly memoryBytes: number
  load(client: Client, size: number): Promise<void>
  /** Where the nth turn is taken. */
  place(size: number, n: number): Place
  readonly calls: readonly Call[]
}

const page = 50
const megabytes64 = 64 * 2 ** 20

/** Every place once in a row that looks like chance: a prime is a step that meets them all. */
const scattered = (n: number, size: number): number => (n * 7_919) % size

const turnAt = (placeOf: Scale['place']): Call => ({
  name: 'turn',
  run: async (turnlog, size, n) =>
    (await turnlog.begin({ ...placeOf(size, n), question: text })).complete(text),
})

const sessionOf = (messages: number): Place => ({
  userId: `user-${messages}-0`,
  sessionId: `session-${messages}-0`,
})

const messages: Scale = {
  name: 'messages',
  title: 'As a session has more messages, its window in memory',
  unit: 'messages',
  sizes: [10, 1_000, 100_000, 1_000_000],
  memoryBytes: megabytes64,
  load: (client, size) => loadOurs(client, { messages: size, sessions: 1 }),
  place: sessionOf,
  calls: [
    turnAt(sessionOf),
    {
      name: 'messages, first page',
      run: (turnlog, size) => turnlog.messages.list({ ...sessionOf(size), limit: page }),
    },
    {
      name: 'messages, middle page',
      run: (turnlog, size) => {
        const turn = Math.ceil(size / 4)
        return turnlog.messages.list({ ...sessionOf(size), limit: page, after: writeCursor([turn, turn, 1]) })
      },
    },
  ],
}

const owner = 'user-of-many'

/** The sessions' moments of activity are seconds apart, counted back from here. */
const newest = Date.UTC(2026, 0, 1)

const sessionCursor = (number: number): string =>
  writeCursor([new Date(newest - number * 1000).toISOString().replace('Z', '000Z'), `many-${number}`])

const ownedPlace = (size: number, n: number): Place => ({
  userId: owner,
  sessionId: `many-${1 + scattered(n, size)}`,
})

const sessions: Scale = {
  name: 'sessions',
  title: 'As a user has more sessions, each turn in another',
  unit: 'sessions',
  sizes: [10, 1_000, 100_000],
  memoryBytes: megabytes64,
  load: async (client, size) => {
    await client.query(`insert into chat_sessions (user_id, id, revision, activity_at)
      select '${owner}', 'many-' || s, gen_random_uuid(), to_timestamp(${newest / 1000}) - s * interval '1 second' from generate_series(1, ${size}) s`)
  },
  place: ownedPlace,
  calls: [
    turnAt(ownedPlace),
    {
      name: 'sessions, first page',
      run: (turnlog) => turnlog.sessions.list({ userId: owner, limit: page }),
    },
    {
      name: 'sessions, middle page',
      run: (turnlog, size) =>
        turnlog.sessions.list({ userId: owner, limit: page, after: sessionCursor(size / 2) }),
    },
  ],
}

const messagesOfUser = 10

const userPlace = (size: number, n: number): Place => ({
  userId: `user-${messagesOfUser}-${scattered(n, size)}`,
  sessionId: `session-${messagesOfUser}-${scattered(n, size)}`,
})

const users: Scale = {
  name: 'users',
  title: 'As there are more users, each turn another’s, no window in memory',
  unit: 'users',
  sizes: [1, 100, 10_000, 100_000],
  // One user's window would always be hot and a hundred thousand users' never: what grows is the database.
  memoryBytes: 0,
  load: (client, size) => loadOurs(client, { messages: messagesOfUser, sessions: size }),
  place: userPlace,
  calls: [
    turnAt(userPlace),
    {
      name: 'sessions of a user',
      run: (turnlog, size, n) => turnlog.sessions.list({ userId: userPlace(size, n).userId, limit: page }),
    },
    {
      name: 'messages of a user',
      run: (turnlog, size, n) => turnlog.messages.list({ ...userPlace(size, n), limit: page }),
    },
  ],
}

export const scales: readonly Scale[] = [messages, sessions, users]
