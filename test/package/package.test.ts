import { expect } from 'chai'
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freshDatabase } from '../services/postgres.js'
import { compilers, files, heard } from './host.js'

const root = join(import.meta.dirname, '../..')
const own = join(root, 'node_modules')
const exec = promisify(execFile)

interface Packed {
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}

describe('the packed package, in an empty project', function () {
  this.timeout(300_000)
  let folder: string
  let packed: Packed
  let database: Awaited<ReturnType<typeof freshDatabase>>

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'turnlog-package-'))
    database = await freshDatabase()
    const { stdout } = await exec(
      'npm',
      ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
      { cwd: root },
    )
    packed = (JSON.parse(stdout) as Packed[])[0]!
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    await install(`./${packed.filename}`)
    await run('node_modules/turnlog/dist/bin/turnlog.js', 'migrate', '--database', database.url)
  })

  after(async () => {
    await database.drop()
    rmSync(folder, { recursive: true, force: true })
  })

  const install = (...names: string[]): Promise<unknown> => {
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts']
    return exec('npm', ['install', ...quiet, ...names], { cwd: folder })
  }

  /** Run a program in the host's folder; what it printed, also when it failed. */
  async function runOn(url: string, ...args: string[]): Promise<string> {
    // What the tests' own runner sets must not reach the host's.
    const { NODE_OPTIONS: _, NODE_ENV: __, ...env } = process.env
    const options = { cwd: folder, env: { ...env, DATABASE: url, DATABASE_URL: url }, maxBuffer: 1 << 24 }
    try {
      const { stdout, stderr } = await exec(process.execPath, args, options)
      return (stdout + stderr).trim()
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string }
      return (stdout + stderr).trim()
    }
  }

  const run = (...args: string[]): Promise<string> => runOn(database.url, ...args)

  it('holds the build with its types and what a reader needs, and nothing else', () => {
    const paths = packed.files.map(({ path }) => path)
    expect(paths).to.include.members(['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE'])
    const built = paths.filter((path) => path.startsWith('dist/'))
    expect(paths).to.have.length(built.length + 4)
    expect(built).to.include.members(JSON.stringify(manifest().exports).match(/dist[^"]+/g)!)
    expect(built.filter((path) => !/\.(js|d\.ts)$/.test(path))).to.deep.equal(['dist/package.json'])
    expect(built.filter((path) => /test|bench|examples/.test(path))).to.deep.equal([])
  })

  for (const build of ['cjs', 'mjs'])
    it(`names the install line of an optional peer that is missing (${build})`, async () => {
      const [embedded, ready, begin] = (await run(`missing.${build}`)).split('\n')
      expect(embedded).to.contain('npm install @electric-sql/pglite')
      expect([ready, begin].filter((said) => said?.includes('npm install ioredis'))).to.have.length(2)
    })

  describe('with what its host uses', () => {
    before(async () => {
      const frameworks = ['express', 'koa', '@koa/bodyparser', '@types/express', '@types/koa']
      const versions = [...frameworks, '@electric-sql/pglite', '@types/node'].map(sameAsOurs)
      await install(...versions, 'jest@30', 'typescript@5.9')
    })

    it('works from CommonJS, on Postgres', async () => {
      expect(await run('host.cjs')).to.equal(heard)
    })

    it('works from ESM, on Postgres', async () => {
      expect(await run('host.mjs')).to.equal(heard)
    })

    for (const build of ['cjs', 'mjs'])
      it(`works in Koa (${build}), on Postgres`, async () => {
        expect(await run(`koa.${build}`)).to.equal(heard)
      })

    it('works inside a Jest test, on Postgres', async () => {
      expect(await run('node_modules/jest/bin/jest.js', '--ci')).to.satisfy(passes)
    })

    it('works inside a Jest test, on the embedded database, with the flag that PGlite needs there', async () => {
      const jest = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--ci']
      expect(await runOn('memory', ...jest)).to.satisfy(passes)
    })

    it('tests a service of production with Jest, from its CommonJS TypeScript, on Postgres', async () => {
      const example = join(root, 'examples/production-server')
      const service = join(folder, 'production')
      const uses = ['helmet', 'compression', 'pino', 'pino-http', '@types/compression', '@types/jsonwebtoken']
      await install('jsonwebtoken@9', 'knex@3', 'pg@8', ...uses.map(sameAsOurs))
      cpSync(example, service, { recursive: true })
      const options = [
        '--module',
        'node16',
        '--target',
        'es2022',
        '--lib',
        'es2023',
        '--strict',
        '--skipLibCheck',
        '--types',
        'node',
      ]
      expect(await run('node_modules/typescript/bin/tsc', ...options, join(service, 'server.cts'))).to.equal(
        '',
      )
      const said = await run('node_modules/jest/bin/jest.js', '--ci', '--testMatch', '**/*.jest.cjs')
      expect(said).to.contain('2 passed, 2 total').and.to.not.contain('did not exit')
    })

    for (const [name, { options, file, old }] of Object.entries(compilers)) {
      it(`has whole types for a TypeScript 5.9 host: ${name}`, () =>
        checks('node_modules/typescript', options, file))
      if (!old)
        it(`has whole types for a TypeScript 7 host: ${name}`, () =>
          checks(join(own, 'typescript'), options, file))
    }
  })

  /** The host's own file and our declarations must be clean; what other packages declare is theirs. */
  async function checks(typescript: string, module: object, file: string): Promise<void> {
    const config = mkdtempSync(join(folder, 'config-'))
    const strict = {
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      target: 'es2022',
      types: ['node'],
      ...module,
    }
    const path = join(config, 'tsconfig.json')
    writeFileSync(path, JSON.stringify({ compilerOptions: strict, files: [join(folder, file)] }))
    const said = await run(join(typescript, 'bin/tsc'), '-p', path, '--pretty', 'false')
    const faults = said.split('\n').filter((line) => /error/.test(line))
    expect(faults.filter((line) => !/node_modules\/(?!turnlog\/)/.test(line))).to.deep.equal([])
  }
})

/** Jest's own summary, and nothing left open. */
const passes = (said: string): boolean => said.includes('1 passed, 1 total') && !said.includes('did not exit')

interface Manifest {
  readonly exports: object
  readonly devDependencies: Readonly<Record<string, string>>
}

const manifest = (): Manifest => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest

/** A package in the version that this repository is tested with. */
const sameAsOurs = (name: string): string => `${name}@${manifest().devDependencies[name]}`
