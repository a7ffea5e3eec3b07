/** What one round of one contender took. */
export interface Sample {
  /** Calls a second. */
  readonly rate: number
  /** Milliseconds. */
  readonly p50: number
  /** Milliseconds. */
  readonly p99: number
  /** Processor time of this process per call, in microseconds. */
  readonly cpu: number
  /** The same, of the process that the calls are made to. */
  readonly serverCpu: number
}

/** The median of a figure's rounds and how far they spread. */
export interface Figure {
  readonly median: number
  readonly low: number
  readonly high: number
}

export interface Load {
  readonly concurrency: number
  /** How long a round lasts, in milliseconds. */
  readonly ms: number
  /** Processor time that the called process took so far, in microseconds. */
  readonly serverCpu?: () => number
}

/** Calls one after another in each of `concurrency` workers until the time is up. Each worker has places of its own. */
export async function drive(
  call: (worker: number, n: number) => Promise<unknown>,
  { concurrency, ms, serverCpu = () => 0 }: Load,
): Promise<Sample> {
  const took: number[] = []
  const cpu = process.cpuUsage()
  const before = serverCpu()
  const start = performance.now()
  const work = async (worker: number): Promise<void> => {
    for (let n = 0; performance.now() - start < ms; n++) {
      const from = performance.now()
      await call(worker, n)
      took.push(performance.now() - from)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, (_, worker) => work(worker)))
  const elapsed = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  took.sort((a, b) => a - b)
  return {
    rate: (took.length / elapsed) * 1000,
    p50: took[Math.floor(took.length * 0.5)]!,
    p99: took[Math.floor(took.length * 0.99)]!,
    cpu: (user + system) / took.length,
    serverCpu: (serverCpu() - before) / took.length,
  }
}

export function figureOf(values: readonly number[]): Figure {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: sorted[sorted.length >> 1]!, low: sorted[0]!, high: sorted.at(-1)! }
}

/** Each subject once in every round, in an order that moves on by one each time, so that what else the machine does meets all alike. */
export async function interleaved<Subject, Taken>(
  subjects: readonly Subject[],
  rounds: number,
  measure: (subject: Subject, round: number) => Promise<Taken>,
): Promise<Map<Subject, Taken[]>> {
  const taken = new Map<Subject, Taken[]>(subjects.map((subject) => [subject, []]))
  for (let round = 0; round < rounds; round++) {
    for (let at = 0; at < subjects.length; at++) {
      const subject = subjects[(at + round) % subjects.length]!
      taken.get(subject)!.push(await measure(subject, round))
    }
  }
  return taken
}

/** One figure of many samples. */
export const figuresOf = (samples: readonly Sample[]): Readonly<Record<keyof Sample, Figure>> => ({
  rate: figureOf(samples.map(({ rate }) => rate)),
  p50: figureOf(samples.map(({ p50 }) => p50)),
  p99: figureOf(samples.map(({ p99 }) => p99)),
  cpu: figureOf(samples.map(({ cpu }) => cpu)),
  serverCpu: figureOf(samples.map(({ serverCpu }) => serverCpu)),
})

/** What one left on the heap is not for the next to clear away. Needs `--expose-gc`. */
export function collectGarbage(): void {
  const { gc } = globalThis as { gc?: () => void }
  gc?.()
}
