/** A line on stderr that says how far a part has come. */
export class Progress {
  #done = 0
  readonly #start = performance.now()

  constructor(
    private readonly part: string,
    private readonly steps: number,
  ) {}

  step(what: string): void {
    this.#show(what)
    this.#done++
  }

  end(): void {
    this.#show('done\n')
  }

  #show(what: string): void {
    if (!process.stderr.isTTY && this.#done % 20 !== 0 && !what.startsWith('done')) return
    const share = this.steps === 0 ? 1 : Math.min(1, this.#done / this.steps)
    const bar = '█'.repeat(Math.round(share * 20)).padEnd(20, '░')
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(0)
    const line = `${bar} ${this.part.padEnd(8)} ${seconds} s  ${what}`
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line.trimEnd()}\n`)
  }
}
