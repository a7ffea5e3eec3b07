// A process that uses a cache and closes it. It must end by itself, whatever Redis does: `faults.test.ts` runs it.
import { setTimeout as delay } from 'node:timers/promises'

import { RedisCache } from '../../lib/cache/redis.js'
import { aHistory, aSession } from './samples.js'

const [url, how] = process.argv.slice(2)
const connection = url === 'cluster' ? { nodes: [{ host: '127.0.0.1', port: 1 }] } : url!
const cache = new RedisCache({ connection })

if (how !== 'idle') await use()
await cache.close()
process.disconnect()

/** Long enough for a connection to stand, or to fail a few times. */
async function use(): Promise<void> {
  await cache.ready()
  for (let n = 0; n < 30; n++) {
    if (n === 25 && how === 'freeze') await frozen()
    cache.write(aSession(), aHistory())
    await cache.read(aSession())
    await delay(20)
  }
}

async function frozen(): Promise<void> {
  process.send!('freeze')
  await delay(300)
}
