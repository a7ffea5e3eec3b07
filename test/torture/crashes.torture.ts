import { expect } from 'chai'

import { crashPoints, nameOf } from './crash-points.js'
import { keepRecord } from './judge.js'
import { runCrashes } from './crashes.js'

describe('torture: crash points', function () {
  this.timeout(600_000)

  it(`loses nothing and stores nothing twice when a server dies at any of ${crashPoints.length} points`, async () => {
    const report = await runCrashes(1, keepRecord)
    console.log({ ...report, killed: Object.keys(report.killed).length, faults: report.faults.length })
    expect(report.faults).to.deep.equal([])
    expect(Object.keys(report.killed)).to.have.members(crashPoints.map(nameOf))
    expect(report.answered).to.equal(crashPoints.filter(({ way }) => way !== 'discarding').length)
  })
})
