import { Redis } from 'ioredis'
import { setTimeout as delay } from 'node:timers/promises'
import { redisServer } from './binaries.js'
import { freePort, type Service, startDaemon } from './daemon.js'
import { Scratch } from './scratch.js'

type Settings = Readonly<Record<string, string>>

/** A Redis Cluster of three masters (the first three nodes) with one replica each. */
export interface RedisCluster {
  readonly nodes: readonly Service[]
  /** The addresses to start from, as ioredis wants them. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  stop(): Promise<void>
}

/** An own Redis that keeps nothing on disk; `settings` are those of redis.conf. */
export async function startRedis({ settings = {} }: { settings?: Settings } = {}): Promise<Service> {
  const program = redisServer()
  const scratch = new Scratch('redis')
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const base = {
    port: String(port),
    bind: '127.0.0.1',
    dir: scratch.path,
    save: '',
    appendonly: 'no',
    daemonize: 'no',
  }
  return startDaemon({
    program,
    args: Object.entries({ ...base, ...settings }).flatMap(([name, value]) => [`--${name}`, value]),
    scratch,
    port,
    url,
    end: 'SIGTERM',
    die: 'SIGKILL',
    ask: () => withClient(port, async (client) => void (await client.ping())),
  })
}

/** A Redis Cluster of six nodes; returns when every node sees all slots served and every replica is in step. */
export async function startRedisCluster({
  settings = {},
}: { settings?: Settings } = {}): Promise<RedisCluster> {
  const clustered = {
    'cluster-enabled': 'yes',
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': '2000',
    ...settings,
  }
  const nodes = await startSix(clustered)
  const stop = async (): Promise<void> => void (await Promise.all(nodes.map((node) => node.stop())))
  try {
    await join(nodes.map((node) => node.port))
  } catch (error) {
    await stop()
    throw error
  }
  return { nodes, addresses: nodes.map(({ port }) => ({ host: '127.0.0.1', port })), stop }
}

async function startSix(settings: Settings): Promise<Service[]> {
  const starts = await Promise.allSettled(Array.from({ length: 6 }, () => startRedis({ settings })))
  const nodes = starts.filter((start) => start.status === 'fulfilled').map((start) => start.value)
  const failed = starts.find((start) => start.status === 'rejected')
  if (!failed) return nodes
  await Promise.all(nodes.map((node) => node.stop()))
  throw failed.reason
}

async function join(ports: readonly number[]): Promise<void> {
  const masters = ports.slice(0, 3)
  await Promise.all(masters.map((port, index) => addSlots(port, index)))
  const first = ports[0]!
  for (const port of ports.slice(1)) await command(first, 'MEET', '127.0.0.1', String(port))
  await Promise.all(
    ports.map((port) => until(async () => (await command(port, 'INFO')).includes('known_nodes:6'))),
  )
  await Promise.all(ports.slice(3).map((port, index) => replicate(port, masters[index]!)))
  await Promise.all(
    ports.map((port) => until(async () => (await command(port, 'INFO')).includes('state:ok'))),
  )
}

function addSlots(port: number, index: number): Promise<string> {
  const edge = (n: number): number => Math.round((n * 16_384) / 3)
  const slots = Array.from({ length: edge(index + 1) - edge(index) }, (_, n) => String(edge(index) + n))
  return command(port, 'ADDSLOTS', ...slots)
}

async function replicate(port: number, master: number): Promise<void> {
  const id = await command(master, 'MYID')
  await until(async () => (await command(port, 'REPLICATE', id)) === 'OK')
  await until(() =>
    withClient(port, async (client) => (await client.info('replication')).includes('master_link_status:up')),
  )
}

const command = (port: number, ...args: string[]): Promise<string> =>
  withClient(port, async (client) => String(await client.call('CLUSTER', ...args)))

async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await check().catch(() => false))) {
    if (Date.now() > deadline) throw new Error('The Redis Cluster did not come together.')
    await delay(50)
  }
}

async function withClient<T>(port: number, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => {})
  try {
    await client.connect()
    return await use(client)
  } finally {
    client.disconnect()
  }
}
