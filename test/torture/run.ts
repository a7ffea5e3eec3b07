/**
 * `npm run torture [operations] [hours]`: campaigns one after the other until there were that many operations
 * (default 1,000,000) and 50 fault rounds, or the hours (default 12) are over. The report is written after each campaign.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'

import { runCampaign, type CampaignReport } from './campaign.js'

const [operations = '1000000', hours = '12'] = process.argv.slice(2)
const wanted = { operations: Number(operations), faultRounds: 50 }
const endAt = Date.now() + Number(hours) * 3_600_000
const turnsOfCampaign = Math.min(25_000, Math.ceil(wanted.operations / 3))

const startedAt = new Date()
const campaigns: CampaignReport[] = []

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
    faultCount: sum((each) => each.faults.length),
    campaigns: campaigns.map(({ faults, ...each }) => Object.assign({}, each, { faults: faults.length })),
  }
}

function write(): void {
  const folder = join(import.meta.dirname, '../../bench/results')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'torture.json'), `${JSON.stringify(report(), null, 2)}\n`)
}

const isEnough = (): boolean =>
  sum((each) => each.operations) >= wanted.operations && sum(roundsOf) >= wanted.faultRounds

while (!isEnough() && Date.now() < endAt) {
  const name = `c${campaigns.length + 1}`
  const onEvent = (text: string): void => console.log(`${new Date().toISOString()} ${name}: ${text}`)
  const done = await runCampaign({ name, turns: turnsOfCampaign, clients: 48, rounds: 2, onEvent })
  campaigns.push(done)
  write()
  console.log(`${name}: ${done.operations} operations, ${done.faults.length} faults, ${done.seconds} s`)
  for (const fault of done.faults.slice(0, 20)) console.log(fault)
}
console.log(JSON.stringify(report(), null, 2))
process.exitCode = sum((each) => each.faults.length) > 0 ? 1 : 0
