/**
 * `npm run torture [operations] [hours] [crash rounds]`: by turns a campaign, some rounds of all crash points, a storm of retries and
 * the streams, until there were so many operations of campaigns (default 1,000,000), 50 fault rounds and so many crash rounds
 * (default 20). Nothing begins that would last beyond the hours (default 12), as long as the longest part before it. The report is
 * written after each part.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'

import { runCampaign, type CampaignReport } from './campaign.js'
import { keepRecord } from './judge.js'
import { runCrashes, type CrashReport } from './crashes.js'
import { runStorm, type StormReport } from './storm.js'
import { runStreams, type StreamsReport } from './streams.js'

const [operations = '1000000', hours = '12', crashRounds = '20'] = process.argv.slice(2)
const wanted = { operations: Number(operations), faultRounds: 50, crashRounds: Number(crashRounds) }
const endAt = Date.now() + Number(hours) * 3_600_000
const turnsOfCampaign = Math.min(60_000, Math.ceil(wanted.operations / 3))
/** More than a stopped server can hold up for its 5 seconds. */
const clientsOfCampaign = 144
const roundsOfCrashes = 4

const startedAt = new Date()
const campaigns: CampaignReport[] = []
const crashes: CrashReport[] = []
let storm: StormReport | undefined
let streams: StreamsReport | undefined

const sum = (count: (report: CampaignReport) => number): number =>
  campaigns.reduce((total, report) => total + count(report), 0)

const roundsOf = ({ faultRounds }: CampaignReport): number =>
  Object.values(faultRounds).reduce((total, rounds) => total + rounds, 0)

/** Counts by name, added up. */
function total(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const totals: Record<string, number> = {}
  for (const [name, count] of counts.flatMap((each) => Object.entries(each))) {
    totals[name] = (totals[name] ?? 0) + count
  }
  return totals
}

const crashReport = (): object => ({
  killed: total(crashes.map(({ killed }) => killed)),
  answered: crashes.reduce((sum, { answered }) => sum + answered, 0),
  operations: crashes.reduce((sum, { operations }) => sum + operations, 0),
  seconds: crashes.reduce((sum, { seconds }) => sum + seconds, 0),
  faults: crashes.flatMap(({ faults }) => faults),
})

function report(): object {
  return {
    startedAt: startedAt.toISOString(),
    endedAt: new Date().toISOString(),
    machine: { cpus: cpus().length, model: cpus()[0]?.model, node: process.version },
    wanted,
    operations: sum((each) => each.operations),
    acknowledgedTurns: sum((each) => each.acknowledged),
    prompts: sum((each) => each.prompts),
    sessions: sum((each) => each.sessions),
    rounds: sum(roundsOf),
    faultRounds: total(campaigns.map((each) => each.faultRounds)),
    turnsThatTheReplicaDidNotHave: sum((each) => each.lostInFailover),
    faults: campaigns.flatMap((each) => each.faults).slice(0, 100),
    faultCount: faultCount(),
    crashes: crashReport(),
    storm,
    streams,
    campaigns: campaigns.map(({ faults, ...each }) => Object.assign({}, each, { faults: faults.length })),
  }
}

function write(): void {
  const folder = join(import.meta.dirname, '../../bench/results')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'torture.json'), `${JSON.stringify(report(), null, 2)}\n`)
}

let longestPartMs = 0

/** The part's report, kept and written. */
async function part<T extends { readonly faults: readonly string[] }>(
  name: string,
  run: () => Promise<T>,
  keep: (report: T) => void,
): Promise<void> {
  const partStartedAt = Date.now()
  console.log(`${new Date().toISOString()} ${name}`)
  const done = await run()
  longestPartMs = Math.max(longestPartMs, Date.now() - partStartedAt)
  keep(done)
  write()
  console.log(JSON.stringify({ ...done, faults: done.faults.slice(0, 20) }))
}

const faultCount = (): number =>
  [...campaigns, ...crashes, ...[storm, streams].filter((each) => each !== undefined)]
    .map(({ faults }) => faults.length)
    .reduce((total, count) => total + count, 0)

const isEnough = (): boolean =>
  sum((each) => each.operations) >= wanted.operations && sum(roundsOf) >= wanted.faultRounds

const crashRoundsDone = (): number => crashes.length * roundsOfCrashes

function campaign(): Promise<void> {
  const name = `c${campaigns.length + 1}`
  const onEvent = (text: string): void => console.log(`${new Date().toISOString()} ${name}: ${text}`)
  const options = {
    name,
    turns: turnsOfCampaign,
    clients: clientsOfCampaign,
    onEvent,
    onFaulty: keepRecord,
  }
  return part(
    `campaign ${name}`,
    () => runCampaign(options),
    (done) => campaigns.push(done),
  )
}

const crash = (): Promise<void> =>
  part(
    'crash points',
    () => runCrashes(Math.min(roundsOfCrashes, wanted.crashRounds - crashRoundsDone()), keepRecord),
    (done) => crashes.push(done),
  )

const others = [
  (): Promise<void> =>
    part(
      'a storm of retries',
      () => runStorm(10_000, keepRecord),
      (done) => (storm = done),
    ),
  (): Promise<void> =>
    part(
      'streams',
      () => runStreams(1000, keepRecord),
      (done) => (streams = done),
    ),
]

const hasTime = (): boolean => Date.now() + longestPartMs <= endAt

// By turns, so that a run that is cut short has some of each.
const isDone = (): boolean =>
  isEnough() && crashRoundsDone() >= wanted.crashRounds && (wanted.crashRounds === 0 || others.length === 0)
while (!isDone() && hasTime()) {
  if (!isEnough()) await campaign()
  if (crashRoundsDone() < wanted.crashRounds && hasTime()) await crash()
  if (wanted.crashRounds > 0 && hasTime()) await others.shift()?.()
}
process.exitCode = faultCount() > 0 ? 1 : 0
