interface Cell {
  readonly framework: string
  readonly suite: string
  readonly outcome: string
}

const cells: Cell[] = []

/** A suite over one framework version, which the table at the end of the run names. */
export function describeOver(framework: string, suite: string, body: () => void): void {
  describe(`${framework}: ${suite}`, function () {
    body()
    after(function () {
      const states = statesOf(this.test!.parent!)
      const count = (state: string): number => states.filter((it) => it === state).length
      const failed = count('failed') > 0 ? `, ${count('failed')} failed` : ''
      cells.push({ framework, suite, outcome: `${count('passed')} passed${failed}` })
    })
  })
}

const statesOf = (suite: Mocha.Suite): (string | undefined)[] => [
  ...suite.tests.map(({ state }) => state),
  ...suite.suites.flatMap(statesOf),
]

/** Which suite ran over which framework version, and how it went. */
after(() => {
  const width = Math.max(...cells.map(({ framework }) => framework.length))
  console.log(`\n  Frameworks on Node ${process.versions.node}`)
  for (const { framework, suite, outcome } of cells) {
    console.log(`    ${framework.padEnd(width)}  ${suite}: ${outcome}`)
  }
})
