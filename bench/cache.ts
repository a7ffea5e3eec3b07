/*
 * The hot window: what it saves, what a Redis that goes away costs, and how often a wandering request finds it.
 *
 *     npm run bench:cache
 */
import { printWandering } from './cache/wandering.js'
import { printWindows } from './cache/windows.js'

await printWandering()
await printWindows()
