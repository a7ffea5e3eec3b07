import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { migrated } from '../contenders/turnlog.js'
import { chunksOfStream } from '../hosts/chunks.js'
import { drain, post, startHost, startProvider } from '../hosts/start.js'
import { drive } from '../measure.js'
import { text } from '../places.js'
import { readProfile, type Profile } from '../profile.js'
import { rounded, type Table } from '../report.js'
import type { Part } from './part.js'

interface Scenario {
  readonly name: string
  readonly path: string
  readonly concurrency: number
  readonly stream: boolean
  /** What a microsecond is counted by, and how many of them a request has. */
  readonly unit: string
  readonly units: number
}

const scenarios: readonly Scenario[] = [
  {
    name: 'a turn answered with JSON, 32 at once',
    path: '/ask/json',
    concurrency: 32,
    stream: false,
    unit: 'us a turn',
    units: 1,
  },
  {
    name: `a turn answered with a stream of ${chunksOfStream} events, 8 at once`,
    path: '/ask/stream',
    concurrency: 8,
    stream: true,
    unit: 'us an event',
    units: chunksOfStream,
  },
]

const shownFiles = 8

interface Profiled extends Scenario {
  readonly profile: Profile
  /** What a share of all is, in microseconds of the host's processor time. */
  readonly microseconds: number
}

/** Where the host's time goes while it answers with Turnlog on Postgres: what is ours and what is not. */
export const profilePart: Part = {
  name: 'profile',
  async run(stage, _options, progressOf) {
    const provider = await startProvider()
    const progress = progressOf(scenarios.length)
    const found: Profiled[] = []
    for (const scenario of scenarios) {
      progress.step(scenario.name)
      found.push({
        ...scenario,
        ...(await profiled(scenario, await migrated(await stage.database()), provider.port)),
      })
    }
    await provider.stop()
    progress.end()
    return {
      title: 'Where the time of a host goes, by samples of its thread',
      tables: found.flatMap((each) => [
        tableOf(each, 'by whose code it is', each.profile.byOwner),
        filesOf(each),
      ]),
      goals: [],
      chart: {
        title: 'Where the time of a host goes',
        note: 'An Express host with Turnlog on Postgres. Garbage and waiting sockets included.',
        groups: found.map((each) => ({
          name: each.name,
          unit: each.unit,
          bars: [...each.profile.byOwner].map(([name, share]) => {
            const value = share * each.microseconds
            return { name, isOurs: name === 'Turnlog', figure: { median: value, low: value, high: value } }
          }),
        })),
      },
    }
  },
}

async function profiled(
  { path, concurrency, stream, units }: Scenario,
  database: string,
  provider: number,
): Promise<{ profile: Profile; microseconds: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'turnlog-profile-'))
  try {
    const host = await startHost({ framework: 'express', provider, database }, [
      '--cpu-prof',
      `--cpu-prof-dir=${folder}`,
    ])
    const ask = async (worker: number): Promise<void> =>
      void (await drain(await post(host.port, path, bodyOf(worker, stream))))
    await drive(ask, { concurrency, ms: 3_000 })
    const { serverCpu } = await drive(ask, { concurrency, ms: 4_000, serverCpu: () => host.cpu() })
    await host.stop()
    const [file] = readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .toSorted((a, b) => b.length - a.length)
    return { profile: readProfile(file!), microseconds: serverCpu / units }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const bodyOf = (worker: number, stream: boolean): string =>
  JSON.stringify({
    session_id: `profile-${worker}`,
    stream,
    model: 'bench',
    messages: [{ role: 'user', content: text }],
  })

const filesOf = (each: Profiled): Table =>
  tableOf(each, 'the dearest files of Turnlog', [...each.profile.byFile].slice(0, shownFiles))

function tableOf(
  { name, unit, microseconds }: Profiled,
  what: string,
  shares: Iterable<readonly [string, number]>,
): Table {
  return {
    title: `${name}: ${what}`,
    columns: ['of all', unit],
    rows: [...shares].map(([owner, share]) => ({
      name: owner,
      figures: [`${(share * 100).toFixed(1)} %`, rounded(share * microseconds)],
    })),
  }
}
