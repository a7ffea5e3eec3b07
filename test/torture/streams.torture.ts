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
    expect(report.acknowledged).to.equal((waves * streams * 9) / 10)
    expect(report.endings).to.deep.equal({ interrupted: (waves * streams) / 10 })
    const [warm, ...later] = report.measures
    for (const { heapBytes, resources } of later) {
      expect(heapBytes).to.be.below(warm!.heapBytes + 2 * mebibyte + 4096 * streams)
      for (const kind of ['Timeout', 'TCPSocketWrap'])
        expect(resources[kind] ?? 0, kind).to.be.at.most((warm!.resources[kind] ?? 0) + 20)
    }
  })
})
