import { expect } from 'chai'

import { runCampaign } from './campaign.js'
import { keepRecord } from './judge.js'
import { failover, faultNames } from './nemesis.js'

/** TORTURE_TURNS scales the run down for a loaded machine; CI leaves it alone. */
const turns = Number(process.env.TORTURE_TURNS ?? 20_000)

describe('torture: the ledger', function () {
  this.timeout(800_000)

  it('keeps every acknowledged turn once, in order and in every prompt, whatever breaks', async () => {
    const report = await runCampaign({ name: 'ci', turns, clients: 48, onFaulty: keepRecord })
    console.log({ ...report, faults: report.faults.length })
    expect(report.faults.slice(0, 20)).to.deep.equal([])
    expect(report.acknowledged).to.be.at.least(turns)
    expect(Object.keys(report.faultRounds)).to.have.members([...faultNames, failover])
  })
})
