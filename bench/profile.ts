/** Shares of the time in which a thread was busy, the largest first. */
export interface Profile {
  readonly byOwner: ReadonlyMap<string, number>
  /** Turnlog's own files, by their path within the package. */
  readonly byFile: ReadonlyMap<string, number>
}

interface CallFrame {
  readonly functionName: string
  readonly url: string
}

/** What `node --cpu-prof` writes. */
interface Recorded {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: CallFrame
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  /** Microseconds between a sample and the one before. */
  readonly timeDeltas: readonly number[]
}

/** Until then modules load and code is compiled. */
const warmUpShare = 0.5

/** The first that fits. Libraries have a `dist` too: ours is in no `node_modules`. */
const owners: readonly (readonly [string, RegExp])[] = [
  ['pg and the pool', /\/node_modules\/(?:pg[^/]*|knex|tarn)\//],
  ['Turnlog', /\/node_modules\/lru-cache\/|^(?!.*\/node_modules\/).*\/dist\//],
  ['Express', /\/node_modules\//],
  ['the handler', /\/bench\//],
  ['Node', /^node:/],
]

/** Read a recorded profile. What has no place of its own, such as a built-in function, counts for its caller. */
export function readProfile(text: string): Profile {
  const { nodes, samples, timeDeltas } = JSON.parse(text) as Recorded
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const callers = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const byOwner = new Map<string, number>()
  const byFile = new Map<string, number>()
  let busy = 0
  for (let at = Math.floor(samples.length * warmUpShare); at < samples.length; at++) {
    const frame = placedFrame(samples[at]!, frames, callers)
    if (frame.functionName === '(idle)') continue
    const spent = timeDeltas[at]!
    busy += spent
    const owner = ownerOf(frame)
    byOwner.set(owner, (byOwner.get(owner) ?? 0) + spent)
    if (owner !== 'Turnlog') continue
    const file = frame.url.replace(/^.*\/(?:dist|node_modules)\//, '')
    byFile.set(file, (byFile.get(file) ?? 0) + spent)
  }
  return { byOwner: sharesOf(byOwner, busy), byFile: sharesOf(byFile, busy) }
}

/** The frame of a sample, or the nearest of its callers that has a place; writes to sockets and what is not code stay. */
function placedFrame(
  id: number,
  frames: ReadonlyMap<number, CallFrame>,
  callers: ReadonlyMap<number, number>,
): CallFrame {
  const frame = frames.get(id)!
  const caller = callers.get(id)
  if (frame.url !== '' || isWrite(frame) || frame.functionName.startsWith('(') || caller === undefined)
    return frame
  return placedFrame(caller, frames, callers)
}

const isWrite = ({ functionName, url }: CallFrame): boolean => url === '' && functionName.startsWith('write')

function ownerOf(frame: CallFrame): string {
  if (frame.functionName === '(garbage collector)') return 'garbage collection'
  if (isWrite(frame)) return 'writing to sockets'
  return owners.find(([, places]) => places.test(frame.url))?.[0] ?? 'Node'
}

const sharesOf = (spent: ReadonlyMap<string, number>, all: number): Map<string, number> =>
  new Map([...spent].map(([name, each]) => [name, each / all] as const).toSorted(([, a], [, b]) => b - a))
