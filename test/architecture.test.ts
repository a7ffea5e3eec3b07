import { expect } from 'chai'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { faultsOf, type Source } from './architecture/rules.js'

const root = join(import.meta.dirname, '..')
const folders = ['lib', 'middleware', 'migrations', 'bin', 'examples', 'bench', 'test']

function sources(): Source[] {
  return folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        join(folder, name),
      ),
    )
    .filter((path) => /\.[cm]?tsx?$/.test(path) && !/node_modules|^test\/fixtures/.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

const faults = (path: string, text: string): string => faultsOf({ path, text }).join('\n')

describe('architecture', () => {
  it('finds the house', () => {
    expect(sources().map(({ path }) => path)).to.include.members(['lib/index.ts', 'lib/model/errors.ts'])
  })

  it('keeps its rules in every file', () => {
    expect(sources().flatMap(faultsOf)).to.deep.equal([])
  })

  it('refuses an import that climbs, however it is written', () => {
    const climbs = [
      `import { a } from '../completion/turn.js'`,
      `import type { A } from '../completion/turn.js'`,
      `import {\n  a,\n  b,\n} from '../completion/turn.js'`,
      `import '../completion/turn.js'`,
      `export { a } from '../completion/turn.js'`,
      `const a = await import('../completion/turn.js')`,
      `type A = import('../completion/turn.js').A`,
    ]
    for (const text of climbs)
      expect(faults('lib/store/lane.ts', `  ${text}`.trimStart())).to.contain('climbs')
    expect(faults('lib/model/page.ts', `import { x } from '../turnlog.js'`)).to.contain('climbs')
    expect(faults('lib/turnlog.ts', `import { x } from '../middleware/express.js'`)).to.contain('climbs')
  })

  it('refuses an import that goes sideways', () => {
    expect(faults('lib/store/lane.ts', `import { a } from '../cache/cache.js'`)).to.contain('sideways')
    expect(faults('lib/wire/openai.ts', `import { a } from '../window/window.js'`)).to.contain('sideways')
    expect(faults('lib/cache/redis.ts', `import { a } from '../../migrations/index.js'`)).to.contain('belong')
  })

  it('lets an import fall or stay in its folder', () => {
    expect(faults('lib/turnlog.ts', `import { a } from './completion/turn.js'`)).to.equal('')
    expect(faults('lib/store/lane.ts', `import { a } from './rows.js'`)).to.equal('')
    expect(faults('lib/store/postgres.ts', `import { a } from '../../migrations/index.js'`)).to.equal('')
    expect(faults('lib/store/postgres.ts', `import { a } from 'node:os'`)).to.equal('')
  })

  it('refuses a library that does not come through its door', () => {
    expect(faults('lib/completion/begin.ts', `import { knex } from 'knex'`)).to.contain('whose door is')
    expect(faults('lib/store/lane.ts', `const x = await import('ioredis')`)).to.contain('whose door is')
    expect(faults('lib/window/count.ts', `import x from 'left-pad'`)).to.contain('no door')
    expect(faults('lib/window/count.ts', `import x from 'tiktoken/lite'`)).to.equal('')
  })

  it('knows frameworks by their types alone', () => {
    expect(faults('middleware/express.ts', `import type { Request } from 'express'`)).to.equal('')
    expect(faults('middleware/express.ts', `import { Router } from 'express'`)).to.contain('import type')
  })

  it('lets an example be a host: the package by its name, and files of its own', () => {
    const path = 'examples/express-server/server.ts'
    expect(faults(path, `import { createTurnlog } from '../../lib/index.js'`)).to.contain('by its name')
    expect(faults(path, `import { answer } from '../../test/demo.js'`)).to.contain('by its name')
    expect(faults(path, `import { answer } from '../demo-model.js'`)).to.equal('')
    expect(faults(path, `import { createTurnlog } from 'turnlog'\nimport { a } from './demo.js'`)).to.equal(
      '',
    )
  })

  it('refuses names that say nothing, except for the tests’ services', () => {
    for (const path of [
      'lib/utils/a.ts',
      'lib/store/types.ts',
      'middleware/helpers.ts',
      'test/store/common.ts',
    ])
      expect(faults(path, '')).to.contain('says nothing')
    expect(faults('test/services/redis.ts', '')).to.equal('')
  })

  it('refuses any, console, import.meta, mutable state and barrels in shipped code', () => {
    const wrong = [
      'const a = (b: any) => b',
      'const a = b as any',
      'const a: Record<string, any> = {}',
      'const a: any[] = []',
      'function f(): any {',
      '  console.log(1)',
      'const here = import.meta.url',
      'let count = 0',
      'export let count = 0',
      'const a = await b()',
      `export * from './a.js'`,
    ]
    for (const text of wrong) expect(faults('lib/wire/a.ts', text), text).to.not.equal('')
    const right = [
      '// any console',
      '/**\n * as any, console\n */',
      'const any = any.of(1)',
      '  let inner = 0',
    ]
    for (const text of right) expect(faults('lib/wire/a.ts', text), text).to.equal('')
    expect(faults('test/wire/a.test.ts', 'let count = 0')).to.equal('')
  })
})
