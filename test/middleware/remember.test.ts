import { describeOver } from '../matrix.js'
import { freshCore, type FreshCore } from '../services/core.js'
import { remembersCutStreams } from './cut-streams.js'
import { frameworks } from './frameworks.js'
import { remembersHostHandlers } from './host-handlers.js'
import { keepsKeys } from './idempotency.js'
import { readsRequests } from './requests.js'
import { remembersAnswers } from './suite.js'

for (const framework of frameworks) {
  describeOver(framework.name, 'streams cut at every byte', () => {
    let core: FreshCore
    before(async () => {
      core = await freshCore()
    })
    after(() => core.end())
    remembersCutStreams(framework, () => core.turnlog)
  })
  describeOver(framework.name, 'remember', () => {
    let core: FreshCore
    before(async () => {
      core = await freshCore()
    })
    after(() => core.end())
    remembersAnswers(framework, () => core.turnlog)
    describe('requests', () => readsRequests(framework, () => core.turnlog))
    describe('handlers in their own words', () => remembersHostHandlers(framework, () => core.turnlog))
    describe('an idempotency key', () => keepsKeys(framework, () => core.turnlog))
  })
}
