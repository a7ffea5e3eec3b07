/**
 * The stride of a chunked window, in turns: a power of two, between a fifth and two fifths of the limit where a
 * turn is two messages.
 */
export const chunkTurns = (limit: number): number => 2 ** Math.max(0, Math.floor(Math.log2(limit / 5)))

/**
 * The front edge of a chunked window: an index into `numbers`, the turn numbers that the fitting blocks began
 * with, oldest first; `end` is the first number after the newest block.
 *
 * The edge stands only at a block that holds a multiple of the stride, so it moves once in that many turns and
 * needs no state: turn numbers never change, and a block holds the same multiples for as long as it exists.
 * Where blocks are so large that no multiple is left in the older half of what fits, the stride is halved
 * until one is, and with a stride of one the window slides.
 */
export function chunkEdge(numbers: readonly number[], end: number, stride: number): number {
  const half = Math.ceil(numbers.length / 2)
  for (let step = stride; step > 1; step /= 2) {
    const edge = numbers.findIndex((number, index) => holdsMultiple(number, numbers[index + 1] ?? end, step))
    if (edge >= 0 && edge < half) return edge
  }
  return 0
}

const holdsMultiple = (from: number, to: number, step: number): boolean => Math.ceil(from / step) * step < to
