import { floorPart } from './floor.js'
import { growth } from './growth.js'
import { jwtPart } from './jwt.js'
import type { Part } from './part.js'
import { processes } from './processes.js'
import { profilePart } from './profile.js'
import { server } from './server.js'
import { start } from './start.js'
import { streams } from './streams.js'
import { tokens } from './tokens.js'
import { turn } from './turn.js'

/** In the order in which they run and stand in the README. */
export const parts: readonly Part[] = [
  turn,
  floorPart,
  server,
  processes,
  streams,
  profilePart,
  growth,
  tokens,
  jwtPart,
  start,
]
