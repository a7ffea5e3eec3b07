import { expect } from 'chai'

import { keepRecord } from './judge.js'
import { runStreams } from './streams.js'

/** TORTURE_STREAMS scales the run down for a loaded machine; CI leaves it alone. */
const streams = Number(process.env.TORTURE_STREAMS ?? 1000)
const waves = 3
const mebibyte = 1024 * 1024

describe('torture: streams', function () {
  this.timeout(600_000)

  it(`serves ${streams} at once, some to clients that leave or hardly read, and keeps nothing of them`, async () => {
    const report = await runStreams(streams, keepRecord)
    console.log({ ...report, measures: report.measures.map((each) => JSON.stringify(each)) })
    expect(report.faults.slice(0, 20)).to.deep.equal([])
    expect(report.acknowledged).to.be.greaterThan(0)
    expect(report.stayed).to.deep.equal({ done: (waves * streams * 9) / 10 })
    // A client may have got all before it left.
    expect(report.endings).to.have.any.keys('interrupted')
    expect(report.endings).to.not.have.any.keys('open', 'failed', 'none')
    const [warm, ...later] = report.measures
    for (const { heapBytes, resources } of later) {
      expect(heapBytes).to.be.below(warm!.heapBytes + 2 * mebibyte + 4096 * streams)
      for (const kind of ['Timeout', 'TCPSocketWrap'])
        expect(resources[kind] ?? 0, kind).to.be.at.most((warm!.resources[kind] ?? 0) + 20)
    }
  })
})
