/*
 * Writes the figures of `bench/results` into the README, between the two comments that say so: no figure is copied by hand.
 *
 *     npm run bench:readme
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { goalsTable } from './goals.js'

const readme = join(import.meta.dirname, '..', 'README.md')
const [from, to] = ['<!-- figures: npm run bench:readme -->', '<!-- end of figures -->']

const text = readFileSync(readme, 'utf8')
const [start, end] = [text.indexOf(from), text.indexOf(to)]
if (start < 0 || end < start) throw new Error(`The README has no place for figures: ${from} … ${to}`)
const table = goalsTable(join(import.meta.dirname, 'results'))
writeFileSync(readme, `${text.slice(0, start)}${from}\n\n${table}\n\n${text.slice(end)}`)
