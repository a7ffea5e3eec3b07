/**
 * `npm run torture [operations] [hours] [crash rounds]`: every crash point so often (default 20), a storm of retries, the streams, then
 * campaigns one after the other until there were so many operations (default 1,000,000) and 50 fault rounds, or the hours
 * (default 12) are over. The report is written after each part.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'

import { runCampaign, type CampaignReport } from './campaign.js'
import { runCrashes, type CrashReport } from './crashes.js'
import { runStorm, type StormReport } from './storm.js'
import { runStreams, type StreamsReport } from './streams.js'

const [operations = '1000000', hours = '12', crashRounds = '20'] = process.argv.slice(2)
const wanted = { operations: Number(operations), faultRounds: 50, crashRounds: Number(crashRounds) }
const endAt = Date.now() + Number(hours) * 3_600_000
const turnsOfCampaign = Math.min(25_000, Math.ceil(wanted.operations / 3))

const startedAt = new Date()
const campaigns: CampaignReport[] = []
let crashes: CrashReport | undefined
let storm: StormReport | undefined
let streams: StreamsReport | undefined

const sum = (count: (report: CampaignReport) => number): number =>
  campaigns.reduce((total, report) => total + count(report), 0)

const roundsOf = ({ faultRounds }: CampaignReport): number =>
  Object.values(faultRounds).reduce((total, rounds) => total + rounds, 0)

function faultRounds(): Record<string, number> {
  const rounds: Record<string, number> = {}
  for (const [name, count] of campaigns.flatMap((report) => Object.entries(report.faultRounds))) {
    rounds[name] = (rounds[name] ?? 0) + count
  }
  return rounds
}

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
    faultRounds: faultRounds(),
    turnsThatTheReplicaDidNotHave: sum((each) => each.lostInFailover),
    faults: campaigns.flatMap((each) => each.faults).slice(0, 100),
    faultCount: faultCount(),
    crashes,
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

/** The part's report, kept and written. */
async function part<T extends { readonly faults: readonly string[] }>(
  name: string,
  run: () => Promise<T>,
  keep: (report: T) => void,
): Promise<void> {
  console.log(`${new Date().toISOString()} ${name}`)
  const done = await run()
  keep(done)
  write()
  console.log(JSON.stringify({ ...done, faults: done.faults.slice(0, 20) }))
}

const faultCount = (): number =>
  [...campaigns, ...[crashes, storm, streams].filter((each) => each !== undefined)]
    .map(({ faults }) => faults.length)
    .reduce((total, count) => total + count, 0)

const isEnough = (): boolean =>
  sum((each) => each.operations) >= wanted.operations && sum(roundsOf) >= wanted.faultRounds

if (wanted.crashRounds > 0) {
  await part(
    'crash points',
    () => runCrashes(wanted.crashRounds),
    (done) => (crashes = done),
  )
  await part(
    'a storm of retries',
    () => runStorm(10_000),
    (done) => (storm = done),
  )
  await part(
    'streams',
    () => runStreams(1000),
    (done) => (streams = done),
  )
}
while (!isEnough() && Date.now() < endAt) {
  const name = `c${campaigns.length + 1}`
  const onEvent = (text: string): void => console.log(`${new Date().toISOString()} ${name}: ${text}`)
  const options = { name, turns: turnsOfCampaign, clients: 48, rounds: 2, onEvent }
  await part(
    `campaign ${name}`,
    () => runCampaign(options),
    (done) => campaigns.push(done),
  )
}
process.exitCode = faultCount() > 0 ? 1 : 0
