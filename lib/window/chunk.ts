/**
 * The front edge of a chunked window: an index into `numbers`, the turn numbers that the fitting blocks began
 * with, oldest first; `end` is the first number after the newest block.
 *
 * The edge stands only at a block that holds a multiple of the stride, the oldest of them, and so it moves once in
 * that many turns. That needs no state: turn numbers never change, and a block that another one follows holds the
 * same multiples for as long as it exists. The stride is the largest power of two that the older half of the
 * blocks spans, and never more than `longest`: half of what fits is always kept, and where turns are equally
 * large the stride is between a quarter and half of them.
 */
export function chunkEdge(numbers: readonly number[], end: number, longest: number): number {
  const half = Math.ceil(numbers.length / 2)
  const span = (numbers[half] ?? end) - (numbers[0] ?? end)
  const stride = Math.min(longest, powerOfTwo(span))
  const edge = numbers.findIndex((number, at) => holdsMultiple(number, numbers[at + 1] ?? end, stride))
  return edge < 0 || edge >= half ? 0 : edge
}

/** The longest stride for a limit of messages, where a turn is two of them: between a fifth and two fifths of it. */
export const longestStride = (limit: number): number => powerOfTwo(limit / 5)

const powerOfTwo = (most: number): number => 2 ** Math.floor(Math.log2(Math.max(1, most)))

const holdsMultiple = (from: number, to: number, stride: number): boolean =>
  Math.ceil(from / stride) * stride < to
