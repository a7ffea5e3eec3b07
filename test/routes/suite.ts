import { describeOver } from '../matrix.js'
import { anything } from './anything.js'
import { bodies } from './bodies.js'
import { contexts } from './contexts.js'
import { changes } from './changes.js'
import { errors } from './errors.js'
import type { Framework } from './framework.js'
import { listings } from './listings.js'
import { ownership } from './ownership.js'
import { paths } from './paths.js'
import { sessions } from './sessions.js'
import { Stage } from './stage.js'
import { stats } from './stats.js'

/** The REST routes over real sockets, the same for every framework. */
export function sessionRoutesSuite(framework: Framework): void {
  describeOver(framework.name, 'session routes', () => {
    const stage = new Stage(framework)
    before(() => stage.open())
    beforeEach(() => stage.nextUser())
    afterEach(() => stage.stopOthers())
    after(() => stage.close())

    sessions(stage)
    listings(stage)
    changes(stage)
    paths(stage)
    bodies(stage)
    ownership(stage)
    contexts(stage)
    stats(stage)
    errors(stage)
    anything(stage)
  })
}
