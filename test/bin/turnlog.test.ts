import { expect } from 'chai'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { freshDatabase } from '../services/postgres.js'

const root = join(import.meta.dirname, '../..')
const command = join(root, 'dist/bin/turnlog.js')
const functions = '20261122090100_create_turn_functions'
const tables = '20261122090000_create_chat_tables'

interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function turnlog(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const inherited = { ...process.env, DATABASE_URL: undefined, ...env }
  const child = spawn(process.execPath, [command, ...args], {
    env: inherited,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}

async function rows(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

const tableNames = (url: string, schema = 'public'): Promise<unknown[]> =>
  rows(url, `SELECT tablename FROM pg_tables WHERE schemaname = '${schema}' ORDER BY tablename`)

const named = (...names: string[]): unknown[] => names.map((tablename) => ({ tablename }))
const ours = (prefix = 'chat_'): unknown[] =>
  named(
    ...['leases', 'messages', 'migrations', 'migrations_lock', 'sessions', 'turns'].map(
      (name) => prefix + name,
    ),
  )

describe('turnlog command', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>

  before(() => {
    if (!existsSync(command)) throw new Error('The command is not built: run npm run build.')
  })
  beforeEach(async () => {
    database = await freshDatabase()
  })
  afterEach(() => database.drop())

  it('migrates the database that DATABASE_URL names, once', async () => {
    const first = await turnlog(['migrate'], { DATABASE_URL: database.url })
    expect(first).to.deep.equal({ code: 0, out: `applied  ${tables}\napplied  ${functions}\n`, err: '' })
    expect(await tableNames(database.url)).to.deep.equal(ours())
    const second = await turnlog(['migrate', '--database', database.url])
    expect(second).to.include({ code: 0, out: 'Nothing to do: the schema is where it should be.\n' })
  })

  it('takes a schema and a prefix', async () => {
    const { code } = await turnlog([
      'migrate',
      '--database',
      database.url,
      '--schema',
      'talk',
      '--prefix',
      'ai_',
    ])
    expect(code).to.equal(0)
    expect(await tableNames(database.url, 'talk')).to.deep.equal(ours('ai_'))
    expect(await tableNames(database.url)).to.deep.equal([])
  })

  it('goes up and down to a migration', async () => {
    const at = ['migrate', '--database', database.url]
    expect(await turnlog([...at, '--to', tables])).to.include({ code: 0, out: `applied  ${tables}\n` })
    expect(await turnlog([...at, '--status'])).to.include({
      out: `applied  ${tables}\npending  ${functions}\n`,
    })
    expect(await turnlog(at)).to.include({ out: `applied  ${functions}\n` })
    expect(await turnlog([...at, `--to=${tables}`])).to.include({ code: 0, out: `undone  ${functions}\n` })
    const unknown = await turnlog([...at, '--to', 'nowhere'])
    expect(unknown.code).to.equal(1)
    expect(unknown.err).to.contain(`There is no migration nowhere. There are: ${tables}`)
  })

  it('undoes what the last migrate did', async () => {
    const at = ['migrate', '--database', database.url]
    await turnlog(at)
    const undone = await turnlog([...at, '--rollback'])
    expect(undone.out.split('\n').toSorted()).to.deep.equal(['', `undone  ${tables}`, `undone  ${functions}`])
    expect(await tableNames(database.url)).to.deep.equal(named('chat_migrations', 'chat_migrations_lock'))
    expect(await turnlog([...at, '--rollback'])).to.include({ code: 0, out: 'Nothing to undo.\n' })
  })

  it('asks for the state without writing anything', async () => {
    const { code, out } = await turnlog(['migrate', '--status', '--database', database.url])
    expect({ code, out }).to.deep.equal({ code: 0, out: `pending  ${tables}\npending  ${functions}\n` })
    expect(await tableNames(database.url)).to.deep.equal([])
  })

  it('prints SQL that makes the same schema, ledger included', async () => {
    const { code, out } = await turnlog(['migrate', '--sql'], {
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/x',
    })
    expect(code).to.equal(0)
    await rows(database.url, out)
    expect(await tableNames(database.url)).to.deep.equal(ours())
    const after = await turnlog(['migrate', '--database', database.url])
    expect(after.out).to.contain('Nothing to do')
  })

  it('prints the SQL of what is pending in a named database', async () => {
    const at = ['migrate', '--database', database.url]
    await turnlog([...at, '--to', tables])
    const { out } = await turnlog([...at, '--sql'])
    expect(out).to.contain(functions).and.not.contain('create table "chat_sessions"')
    await turnlog(at)
    expect(await turnlog([...at, '--sql'])).to.include({ code: 0, out: '-- Nothing is pending.\n' })
  })

  it('shows its help and its version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(await turnlog(['--version'])).to.deep.equal({ code: 0, out: `${version}\n`, err: '' })
    const help = await turnlog(['migrate', '--help'])
    expect(help.code).to.equal(0)
    for (const option of ['--to', '--rollback', '--status', '--sql', '--database', '--schema', '--prefix'])
      expect(help.out).to.contain(option)
  })

  const usage: readonly (readonly [string, readonly string[], string])[] = [
    ['no command', [], 'turnlog migrate'],
    ['an unknown command', ['migrat'], 'Did you mean migrate?'],
    ['an unknown option', ['migrate', '--roll-back'], 'Did you mean --rollback?'],
    ['an option of another tool', ['migrate', '--url', 'x'], 'Did you mean --database?'],
    ['a migration without --to', ['migrate', 'name'], 'Did you mean --to name?'],
    ['two things at once', ['migrate', '--status', '--sql'], 'Give one of --status and --sql'],
    ['an option without its value', ['migrate', '--to'], '--to needs a value'],
    ['an option in place of a value', ['migrate', '--database', '--status'], '--database needs a value'],
    ['a value that nobody asked for', ['migrate', '--status=yes'], '--status takes no value'],
    ['no database', ['migrate'], 'DATABASE_URL'],
    ['a database that is no URL', ['migrate', '--database', 'localhost'], 'must be a URL'],
    ['a prefix that SQL cannot take', ['migrate', '--sql', '--prefix', 'a"b'], '--prefix must be'],
    ['a schema that SQL cannot take', ['migrate', '--sql', '--schema', 'X'], '--schema must be'],
  ]
  for (const [what, args, repair] of usage)
    it(`says how to repair ${what}`, async () => {
      const { code, out, err } = await turnlog(args)
      expect({ code, out }).to.deep.equal({ code: 2, out: '' })
      expect(err)
        .to.match(/^turnlog: .*\n$/)
        .and.contain(repair)
    })

  it('fails with one sentence when nothing answers, and shows no password', async () => {
    const { code, err } = await turnlog(['migrate', '--database', 'postgres://app:se%40cret@127.0.0.1:1/x'])
    expect(code).to.equal(1)
    expect(err).to.match(/^turnlog: Nothing answers at 127\.0\.0\.1:1\..*\n$/)
    expect(err).to.not.match(/se(%40|@)cret/)
  })

  it('shows no password in a message that quotes it', async () => {
    const url = new URL(database.url)
    url.pathname = '/secret-word'
    url.password = 'secret-word'
    const { code, err } = await turnlog(['migrate', '--database', url.href])
    expect(code).to.equal(1)
    expect(err).to.contain('database "***" does not exist').and.not.contain('secret-word')
  })

  it('names a database that does not exist', async () => {
    const url = new URL(database.url)
    url.pathname = '/not_there'
    const { code, err } = await turnlog(['migrate', '--database', url.href])
    expect(code).to.equal(1)
    expect(err).to.contain('not_there').and.contain('Create it first')
  })

  it('sweeps once, purging what is older than the retention', async () => {
    await turnlog(['migrate', '--database', database.url])
    await rows(
      database.url,
      `insert into chat_sessions (user_id, id, revision, is_active, updated_at)
        values ('u', 's', gen_random_uuid(), false, now() - interval '1 hour')`,
    )
    const at = ['sweep', '--database', database.url, '--redis', process.env.TEST_REDIS_URL!]
    expect((await turnlog(at)).out).to.equal('closed  0 turns\npurged  0 sessions\n')
    const swept = await turnlog([...at, '--retention-seconds', '3000'])
    expect(swept).to.deep.equal({ code: 0, out: 'closed  0 turns\npurged  1 sessions\n', err: '' })
    expect(await rows(database.url, 'select 1 from chat_sessions')).to.deep.equal([])
  })

  it('keeps the options of its commands apart', async () => {
    const at = ['--database', database.url]
    const { code, err } = await turnlog(['migrate', ...at, '--retention-seconds', '5'])
    expect({ code, err }).to.deep.equal({
      code: 2,
      err: 'turnlog: --retention-seconds belongs to turnlog sweep, not to turnlog migrate.\n',
    })
    expect((await turnlog(['sweep', ...at, '--retention-seconds', 'x'])).err).to.contain(
      'a whole number of seconds',
    )
  })
})
