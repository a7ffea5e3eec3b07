import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = import.meta.dirname
const names = ['@langchain/community', '@langchain/core', '@langchain/redis', '@mastra/memory', '@mastra/pg']

/**
 * Whether the other packages are there; installed when they are not. They have a folder and a lockfile of their own:
 * 290 MB that nobody who only tests this package should wait for.
 */
export function installed(): boolean {
  if (existsSync(join(folder, 'node_modules', '.package-lock.json'))) return true
  console.log('Installing LangChain and Mastra into bench/competitors (290 MB, once).')
  try {
    execFileSync('npm', ['ci', '--prefer-offline', '--loglevel=error'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 300_000,
    })
    return true
  } catch {
    console.log(
      'LangChain and Mastra could not be installed and are left out: `cd bench/competitors && npm ci` says why.',
    )
    return false
  }
}

/** What is installed of the packages that are measured. */
export const versionsOfCompetitors = (): Record<string, string> =>
  Object.fromEntries(
    names.map((name) => {
      const manifest = readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')
      return [name, (JSON.parse(manifest) as { version: string }).version]
    }),
  )
