import { expect } from 'chai'
import { Cluster, Redis } from 'ioredis'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import { freshDatabase, startPostgres } from './postgres.js'
import { startRedis, startRedisCluster } from './redis.js'

async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The folder and the pid of a Redis whose run was killed. */
async function leftByAKilledRun(): Promise<{ folder: string; pid: number }> {
  const script = `import { startRedis } from './test/services/redis.ts'
    const { url, pid } = await startRedis()
    console.log(url, pid)`
  const run = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script])
  const printed = await new Promise<string>((resolve) =>
    run.stdout.once('data', (said) => resolve(String(said))),
  )
  const [url, pid] = printed.trim().split(' ')
  const client = new Redis(url!)
  // An array or a map, by the protocol.
  const folder = String(Object.values((await client.config('GET', 'dir')) as object).at(-1))
  client.disconnect()
  run.kill('SIGKILL')
  return { folder, pid: Number(pid) }
}

describe('test services', () => {
  it('give every caller an empty database of its own', async () => {
    const [one, two] = await Promise.all([freshDatabase(), freshDatabase()])
    await ask(one.url, 'CREATE TABLE mine (id int)')
    expect(await ask(two.url, `SELECT 1 FROM pg_tables WHERE tablename = 'mine'`)).to.deep.equal([])
    await Promise.all([one.drop(), two.drop()])
  })

  it('bring a crashed Postgres back with what was committed', async () => {
    const postgres = await startPostgres({ settings: { work_mem: '5MB' } })
    await ask(postgres.url, 'CREATE TABLE kept AS SELECT 7 AS n')
    const { pid } = postgres
    await postgres.crash()
    expect(isAlive(pid)).to.equal(false)
    await postgres.restart()
    expect(await ask(postgres.url, 'SELECT n FROM kept')).to.deep.equal([{ n: 7 }])
    expect(await ask(postgres.url, 'SHOW work_mem')).to.deep.equal([{ work_mem: '5MB' }])
    await postgres.stop()
  })

  it('start a private Redis and stop it', async () => {
    const redis = await startRedis({ settings: { maxmemory: '3mb' } })
    const client = new Redis(redis.url)
    expect(await client.config('GET', 'maxmemory')).to.satisfy((reply: unknown) =>
      JSON.stringify(reply).includes('3145728'),
    )
    client.disconnect()
    const { pid } = redis
    await redis.stop()
    expect(isAlive(pid)).to.equal(false)
  })

  it('end a Redis that a test has frozen', async () => {
    const redis = await startRedis()
    process.kill(redis.pid, 'SIGSTOP')
    await redis.stop()
  })

  it('leave nothing behind when the run is killed', async () => {
    const { folder, pid } = await leftByAKilledRun()
    expect(existsSync(folder) && isAlive(pid)).to.equal(true)
    while (existsSync(folder) || isAlive(pid)) await delay(100)
  })

  it('start a Redis Cluster that serves every slot from three masters', async () => {
    const cluster = await startRedisCluster()
    const client = new Cluster([...cluster.addresses])
    try {
      for (const key of ['a', 'b', 'c', 'd', 'e']) await client.set(key, key)
      expect(await client.get('e')).to.equal('e')
      const nodes = String(await client.cluster('NODES'))
      expect(nodes.match(/ (myself,)?master /g)).to.have.length(3)
      expect(nodes.match(/ (myself,)?slave /g)).to.have.length(3)
    } finally {
      client.disconnect()
      await cluster.stop()
    }
  }).timeout(60_000)
})
