import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { faultsOf } from './checker.js'
import { insist, userOf, type Clients } from './clients.js'
import type { Cluster } from './cluster.js'
import { afterFailover, beforeFailover } from './failover.js'
import { takePrompts } from './provider.js'
import { grouped, type Said, type SessionRecord, type SessionState } from './record.js'

export interface Verdict {
  readonly faults: readonly string[]
  readonly prompts: number
  /** Acknowledged turns that the replica did not have. */
  readonly lostInFailover: number
  /** Finished turns that the database holds. */
  readonly done: number
  readonly sessions: number
  readonly states: ReadonlyMap<string, SessionState>
}

/** Told of each session that something is wrong with. */
export type OnFaulty = (record: SessionRecord, faults: readonly string[]) => void

/** All that is known of a session that something is wrong with, where a person can read it. */
export function keepRecord(record: SessionRecord, faults: readonly string[]): void {
  const path = join(tmpdir(), `turnlog-torture-${record.session}.json`)
  writeFileSync(path, JSON.stringify({ faults, record }, null, 1))
  console.log(`${faults.join('\n')}\n  ${path}`)
}

/** Ask every session once more, list it, end the servers, and compare what everybody knows. */
export async function judge(cluster: Cluster, clients: Clients, onFaulty?: OnFaulty): Promise<Verdict> {
  await cluster.closeServers()
  await cluster.startServer(0)
  const names = [...new Set(clients.attempts.map(({ session }) => session))]
  const listed = new Map<string, readonly Said[]>()
  for (let from = 0; from < names.length; from += 16) {
    await Promise.all(names.slice(from, from + 16).map((name) => lookAt(cluster, clients, name, listed)))
  }
  await cluster.closeServers()
  const prompts = await takePrompts(cluster.provider)
  const { states, old } = await cluster.readStates()
  const attempts = grouped(clients.attempts, ({ session }) => session)
  const changes = grouped(clients.changes, ({ session }) => session)
  const prompted = grouped(prompts, ({ session }) => session)
  let lostInFailover = 0
  const faults = names.flatMap((session) => {
    const said = listed.get(session)
    const record: SessionRecord = {
      session,
      attempts: attempts.get(session) ?? [],
      changes: changes.get(session) ?? [],
      prompts: prompted.get(session) ?? [],
      state: states.get(session),
      ...(said && { listed: said }),
    }
    const found = faultsIn(record, cluster, old?.get(session))
    lostInFailover += found.lost
    if (found.faults.length > 0) onFaulty?.(record, found.faults)
    return found.faults
  })
  return {
    faults,
    prompts: prompts.length,
    lostInFailover,
    done: countDone(states),
    sessions: names.length,
    states,
  }
}

function faultsIn(
  record: SessionRecord,
  { failover }: Cluster,
  old: SessionState | undefined,
): { faults: string[]; lost: number } {
  if (!failover) return { faults: faultsOf(record), lost: 0 }
  const at = { ...failover, old, promoted: failover.promoted.get(record.session) }
  const after = afterFailover(record, at)
  const early = faultsOf(beforeFailover(record, at)).map((fault) => `${fault} before the failover`)
  return {
    faults: early.concat(faultsOf(after).map((fault) => `${fault} after the failover`)),
    lost: countAcknowledged(record) - countAcknowledged(after),
  }
}

async function lookAt(
  cluster: Cluster,
  clients: Clients,
  session: string,
  listed: Map<string, readonly Said[]>,
): Promise<void> {
  const id = `${session}:last`
  const script = JSON.stringify({ delayMs: 0, fails: false, length: 0 })
  const operation = { id, session, question: `question ${id}`, script }
  await insist(clients, () => cluster.anyUrl(), operation, { most: 3, pauseMs: 500 })
  const said: Said[] = []
  for (let after: string | undefined = ''; after !== undefined;) {
    const path = `/chat/sessions/${session}/messages?limit=100${after}`
    const reply = await clients.send(cluster.anyUrl(), 'GET', path, {
      headers: { 'x-user': userOf(session) },
    })
    if (reply?.status !== 200) return
    const page = JSON.parse(reply.body) as Page
    said.push(...page.data.map(({ role, content }): Said => [role, content]))
    after = page.has_more ? `&after=${page.next_cursor}` : undefined
  }
  listed.set(session, said)
}

interface Page {
  readonly data: readonly { role: string; content: string }[]
  readonly has_more: boolean
  readonly next_cursor: string
}

const countAcknowledged = ({ attempts }: SessionRecord): number =>
  attempts.filter(({ outcome }) => outcome === 'acknowledged').length

const countDone = (states: ReadonlyMap<string, SessionState>): number =>
  [...states.values()].flatMap(({ turns }) => turns).filter(({ status }) => status === 'done').length
