import { setTimeout as sleep } from 'node:timers/promises'

import { freezeService, killService, type Cluster } from './cluster.js'

type Fault = (cluster: Cluster) => Promise<void>

const any = (cluster: Cluster): number => Math.floor(Math.random() * cluster.seats.length)

async function loseAnswers(cluster: Cluster, text: string): Promise<void> {
  for (let round = 0; round < 10; round++) {
    for (const { proxy } of cluster.seats) proxy.loseAnswerTo(text)
    await sleep(200)
  }
}

/** What is done to the cluster while it works, each by its name; each leaves it whole. */
export const faults = {
  'kill -9 of a server': async (cluster) => {
    const index = any(cluster)
    await cluster.killServer(index)
    await cluster.startServer(index)
  },
  'kill -9 of Postgres': (cluster) => killService(cluster.primary),
  'restart of Postgres': (cluster) => cluster.primary.restart(),
  'kill -9 of Redis': (cluster) => killService(cluster.redis),
  'a server stopped for 5 s': (cluster) => cluster.freezeServer(any(cluster), 5000),
  'Redis stopped for 5 s': (cluster) => freezeService(cluster.redis, 5000),
  FLUSHALL: (cluster) => cluster.flushRedis(),
  'a black hole before Postgres': async (cluster) => {
    const { proxy } = cluster.seats[any(cluster)]!
    proxy.swallow(true)
    await sleep(5000)
    // What was swallowed leaves the two ends out of step: a network that comes back cuts them.
    proxy.refuse(true)
    proxy.swallow(false)
    proxy.refuse(false)
  },
  'connections cut': async (cluster) => {
    for (const { proxy } of cluster.seats) proxy.refuse(true)
    await sleep(1000)
    for (const { proxy } of cluster.seats) proxy.refuse(false)
  },
  'acknowledgements of begin lost': (cluster) => loseAnswers(cluster, 'chat_begin'),
  'acknowledgements of complete lost': (cluster) => loseAnswers(cluster, 'chat_complete'),
} as const satisfies Readonly<Record<string, Fault>>

export type FaultName = keyof typeof faults

export const faultNames = Object.keys(faults) as FaultName[]

/** Comes once, as the last one: a cluster has one replica. */
export const failover = 'failover to the replica'
