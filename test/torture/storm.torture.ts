import { expect } from 'chai'

import { keepRecord } from './judge.js'
import { runStorm } from './storm.js'

/** TORTURE_STORM scales the run down for a loaded machine; CI leaves it alone. */
const turns = Number(process.env.TORTURE_STORM ?? 10_000)

describe('torture: a storm of retries', function () {
  this.timeout(600_000)

  it(`records ${turns} turns that are each sent three times at once, once, for one call of the provider each`, async () => {
    const report = await runStorm(turns, keepRecord)
    console.log({ ...report, faults: report.faults.length })
    expect(report.faults.slice(0, 20)).to.deep.equal([])
    expect(report.done).to.equal(turns)
    expect(report.providerCalls).to.be.at.most(turns)
    expect(report.running).to.be.greaterThan(0)
  })
})
