import { expect } from 'chai'

import type { BreakerState } from '../../lib/cache/breaker.js'
import type { RedisClient } from '../../lib/cache/connection.js'
import { encodeEntry, sessionHash } from '../../lib/cache/entry.js'
import { RedisCache, type RedisCacheOptions } from '../../lib/cache/redis.js'
import { aHistory, aSession } from './samples.js'
import { until } from './until.js'

const session = aSession()
const entry = encodeEntry(aHistory(), sessionHash(session))!

/** A client that does as it is told, and counts what it is asked. */
class ObedientClient implements RedisClient {
  readonly asked: string[] = []
  #answer: (command: string) => Promise<unknown>

  constructor(answer: (command: string) => Promise<unknown>) {
    this.#answer = answer
  }

  getBuffer(): Promise<Buffer | null> {
    return this.#ask('get') as Promise<Buffer | null>
  }

  set(_key: string, _value: unknown, _unit: 'PX', _ms: number, when?: 'NX'): Promise<unknown> {
    return this.#ask(when ? 'probe' : 'set')
  }

  del(): Promise<unknown> {
    return this.#ask('del')
  }

  #ask(command: string): Promise<unknown> {
    this.asked.push(command)
    return this.#answer(command)
  }
}

const never = (): Promise<never> => new Promise(() => {})
const fails = (message: string) => (): Promise<never> => Promise.reject(new Error(message))

function cacheOver(answer: (command: string) => Promise<unknown>, options: Partial<RedisCacheOptions> = {}) {
  const client = new ObedientClient(answer)
  const told: BreakerState[] = []
  const onState = (state: BreakerState): void => void told.push(state)
  const cache = new RedisCache({ connection: client, deadlineMs: 10, onState, ...options })
  return { cache, client, told, asked: client.asked }
}

const readTimes = async (cache: RedisCache, times: number): Promise<void> => {
  for (let n = 0; n < times; n++) expect(await cache.read(session)).to.equal(undefined)
}

describe('Redis that fails', () => {
  it('is a miss when it does not reply', async () => {
    const { cache } = cacheOver(never)
    expect(await cache.read(session)).to.equal(undefined)
  })

  it('is a miss when it replies with an error', async () => {
    const { cache } = cacheOver(fails('LOADING Redis is loading'))
    expect(await cache.read(session)).to.equal(undefined)
  })

  it('is a miss when the client throws', async () => {
    const { cache } = cacheOver(() => {
      throw new Error('broken client')
    })
    expect(await cache.read(session)).to.equal(undefined)
    cache.write(session, aHistory())
    cache.drop(session)
  })

  it('is not asked again after five faults in a row', async () => {
    const { cache, asked } = cacheOver(never)
    await readTimes(cache, 30)
    cache.write(session, aHistory())
    cache.drop(session)
    expect(asked).to.have.length(5)
  })

  it('is not asked again when most calls fail, though some do not', async () => {
    let calls = 0
    const { cache, asked, told } = cacheOver(() =>
      ++calls % 2 ? fails('OOM no room')() : Promise.resolve(null),
    )
    await readTimes(cache, 60)
    expect(asked.length).to.be.within(5, 25)
    expect(told).to.deep.equal([{ state: 'unavailable', reason: 'OOM' }])
  })

  it('is asked on when a call fails now and then', async () => {
    let calls = 0
    const { cache, asked, told } = cacheOver(() => (++calls % 4 ? Promise.resolve(null) : fails('once')()))
    await readTimes(cache, 60)
    expect(asked).to.have.length(60)
    expect(told).to.deep.equal([])
  })

  it('is told of once, by name and without its text', async () => {
    const { cache, told } = cacheOver(fails('OOM command not allowed: SECRET'))
    await readTimes(cache, 30)
    expect(told).to.deep.equal([{ state: 'unavailable', reason: 'OOM' }])
  })

  it('is told of as late when it is', async () => {
    const { cache, told } = cacheOver(never)
    await readTimes(cache, 6)
    expect(told).to.deep.equal([{ state: 'unavailable', reason: 'deadline' }])
  })

  it('is asked again after a while by one probe that no request waits for, and used when that succeeds', async () => {
    let works = false
    const { cache, asked, told } = cacheOver((command) => {
      if (command === 'get' && works) return Promise.resolve(entry)
      return works ? Promise.resolve('OK') : fails('ECONNREFUSED')()
    })
    await readTimes(cache, 5)
    works = true
    await until(async () => (await cache.read(session)) !== undefined)
    expect(asked.filter((command) => command === 'probe')).to.have.length(1)
    expect(told.map(({ state }) => state)).to.deep.equal(['unavailable', 'available'])
  })

  it('stays away, and is told of no more, while its probes fail', async () => {
    const { cache, asked, told } = cacheOver(fails('READONLY a replica'))
    await until(async () => {
      await cache.read(session)
      return asked.filter((command) => command === 'probe').length === 2
    })
    await readTimes(cache, 10)
    expect(asked).to.have.length(7)
    expect(told).to.deep.equal([{ state: 'unavailable', reason: 'READONLY' }])
  })

  it('gets no second probe while the first has no reply', async () => {
    const { cache, asked } = cacheOver((command) => (command === 'probe' ? never() : fails('gone')()))
    const start = Date.now()
    // Longer than the two longest pauses.
    await until(async () => {
      await cache.read(session)
      return Date.now() - start > 3200
    })
    expect(asked.filter((command) => command === 'probe')).to.have.length(1)
  })

  it('holds no more commands than it may', async () => {
    const { cache, asked, told } = cacheOver(never, { maxPending: 3, deadlineMs: 10_000 })
    await cache.ready()
    for (let n = 0; n < 50; n++) cache.write(session, aHistory())
    expect(asked).to.have.length(3)
    expect(await cache.read(session)).to.equal(undefined)
    expect(told).to.deep.equal([])
  })

  it('makes room for commands when replies come, in time or late', async () => {
    let reply: (() => void) | undefined
    const { cache, asked } = cacheOver(() => new Promise((resolve) => (reply = () => resolve(null))), {
      maxPending: 1,
    })
    await readTimes(cache, 2)
    expect(asked).to.have.length(1)
    reply!()
    await until(async () => {
      await cache.read(session)
      return asked.length === 2
    })
  })

  it('counts a reply that waits behind a blocked event loop', async () => {
    const { cache } = cacheOver(
      () => new Promise((resolve) => setTimeout(() => setImmediate(resolve, entry), 1)),
    )
    const read = cache.read(session)
    const end = Date.now() + 40
    while (Date.now() < end);
    expect((await read)?.layer).to.equal('redis')
  })

  it("does not mind what the host's callback does", async () => {
    const { cache } = cacheOver(never, {
      onState: () => {
        throw new Error('of the host')
      },
    })
    await readTimes(cache, 10)
  })
})
