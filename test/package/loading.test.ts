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
        cwd: join(import.meta.dirname, '../../dist'),
      })
      const loaded = (JSON.parse(stdout) as string[]).flatMap((path) => path.split('/node_modules/').slice(1))
      const names = new Set(loaded.map((path) => path.split('/')[0]))
      expect([...names]).to.deep.equal(['lru-cache'])
    })

  it('gives the same instance to import and to require', async () => {
    const entries = ['turnlog', 'turnlog/express', 'turnlog/koa', 'turnlog/migrations']
    const program = `for (const entry of ${JSON.stringify(entries)}) {
      const [imported, required] = [await import(entry), require(entry)]
      const names = Object.keys(required)
      console.log(names.length > 0 && names.every((name) => imported[name] === required[name]))
    }`
    const { stdout } = await exec(process.execPath, ['-e', `(async () => { ${program} })()`], {
      cwd: join(import.meta.dirname, '../..'),
    })
    expect(stdout.trim().split('\n')).to.deep.equal(entries.map(() => 'true'))
  })
})
