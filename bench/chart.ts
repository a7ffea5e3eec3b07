import type { Figure } from './measure.js'

export interface Bar {
  readonly name: string
  readonly figure: Figure
  readonly isOurs: boolean
}

/** Groups of bars, one scale a group, the rounds' spread as a line on each bar. */
export interface Chart {
  readonly title: string
  readonly note: string
  readonly groups: readonly { readonly name: string; readonly unit: string; readonly bars: readonly Bar[] }[]
}

const width = 760
const barsAt = 230
const longestBar = 400
const rowHeight = 22

/** Readable on light and on dark pages. */
const style = `
  text { font: 12px system-ui, sans-serif; fill: #57606a }
  .title { font-size: 15px; font-weight: 600; fill: #1f2328 }
  .group { font-weight: 600 }
  .ours { fill: #1a7f5a } .other { fill: #9aa4af } .spread { stroke: #57606a }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 } .title { fill: #f0f6fc }
    .ours { fill: #3fb984 } .other { fill: #6e7681 } .spread { stroke: #c9d1d9 }
  }`

/** The chart as an SVG of its own. */
export function drawChart({ title, note, groups }: Chart): string {
  const parts: string[] = []
  let y = 46
  for (const { name, unit, bars } of groups) {
    parts.push(label(16, y + 14, `${name}, ${unit}`, 'group'))
    y += rowHeight
    const most = Math.max(...bars.map(({ figure }) => figure.high))
    for (const bar of bars) {
      parts.push(drawBar(bar, y, longestBar / most))
      y += rowHeight
    }
    y += 14
  }
  parts.push(label(16, y + 8, note, 'note'))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 24}" role="img" aria-label="${escaped(title)}">
<style>${style}</style>
${label(16, 26, title, 'title')}
${parts.join('\n')}
</svg>
`
}

function drawBar({ name, figure, isOurs }: Bar, y: number, scale: number): string {
  const middle = y + rowHeight / 2
  const end = barsAt + figure.median * scale
  const [low, high] = [barsAt + figure.low * scale, barsAt + figure.high * scale]
  return [
    `<text x="${barsAt - 10}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`,
    `<rect class="${isOurs ? 'ours' : 'other'}" x="${barsAt}" y="${y + 3}" width="${(end - barsAt).toFixed(1)}" height="${rowHeight - 6}" rx="2"/>`,
    `<path class="spread" d="M${low.toFixed(1)} ${middle}H${high.toFixed(1)}"/>`,
    label(Math.max(end, high) + 8, middle + 4, shown(figure.median), 'value'),
  ].join('\n')
}

const shown = (value: number): string =>
  Number(value.toPrecision(3)).toLocaleString('en-US', { maximumFractionDigits: 3 })

const label = (x: number, y: number, words: string, kind: string): string =>
  `<text class="${kind}" x="${x.toFixed(0)}" y="${y.toFixed(0)}">${escaped(words)}</text>`

const escaped = (words: string): string =>
  words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
