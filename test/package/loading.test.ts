import { expect } from 'chai'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)

describe('importing the package', () => {
  for (const entry of ['lib/index', 'middleware/express', 'middleware/koa'])
    it(`loads none of its libraries but the smallest: ${entry}`, async () => {
      const program = `require('./${entry}.js'); console.log(JSON.stringify(Object.keys(require.cache)))`
      const { stdout } = await exec(process.execPath, ['-e', program], {
        cwd: join(import.meta.dirname, '../../dist/cjs'),
      })
      const loaded = (JSON.parse(stdout) as string[]).flatMap((path) => path.split('/node_modules/').slice(1))
      const names = new Set(loaded.map((path) => path.split('/')[0]))
      expect([...names]).to.deep.equal(['lru-cache'])
    })
})
