import { randomUUID } from 'node:crypto'

import { lockDirectory } from '../../lib/store/directory-lock.js'
import { EmbeddedStore } from '../../lib/store/embedded.js'
import { PostgresStore } from '../../lib/store/postgres.js'
import type { Store } from '../../lib/store/store.js'
import { ask, assistant, user } from './asking.js'
import type { Task } from './child.js'

const task = JSON.parse(process.argv[2]!) as Task

async function embed(directory: string | undefined, sessionId: string | undefined): Promise<string> {
  const store = new EmbeddedStore(directory === undefined ? {} : { directory })
  await store.ready()
  if (sessionId === undefined) return 'ready'
  await store.createSession({ userId: 'u', sessionId })
  for (let turn = 0; turn < 10; turn++) await ask(store, { userId: 'u', sessionId })
  return 'ready'
}

/** Each caller asks its turns one after another, in sessions that all share. */
async function call(
  store: Store,
  { name, sessions, callers, turns }: Task & { do: 'call' },
): Promise<string> {
  const caller = async (number: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn++) {
      const text = `${name} ${number} ${turn}`
      const sessionId = sessions[(number * 7 + turn * 3) % sessions.length]!
      const question = [user(`ask ${text}`)]
      await ask(
        store,
        { userId: 'u', sessionId },
        { question, nonce: randomUUID() },
        { answer: [assistant(`say ${text}`)] },
      )
    }
  }
  await Promise.all(Array.from({ length: callers }, (_, number) => caller(number)))
  return 'done'
}

async function work(): Promise<string> {
  if (task.do === 'embed') return embed(task.directory, task.sessionId)
  if (task.do === 'call') return call(new PostgresStore({ database: task.url }), task)
  await lockDirectory(task.directory)
  return 'locked'
}

// Stays until it is killed, as a process that holds something does.
const stay = setInterval(() => {}, 1000)
process.on('disconnect', () => clearInterval(stay))
process.send!(await work().catch((error: unknown) => String(error)))
