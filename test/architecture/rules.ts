/** A source file: its path from the package's root, and its text. */
export interface Source {
  readonly path: string
  readonly text: string
}

/** The floors of the house, by folder (or file); the longest match counts. An import points to a lower floor or stays in its folder. */
const floors: Readonly<Record<string, number>> = {
  bin: 6,
  middleware: 5,
  lib: 4,
  'lib/routes': 4,
  'lib/completion': 3,
  'lib/sessions': 3,
  'lib/store': 2,
  'lib/cache': 2,
  'lib/wire': 1,
  'lib/window': 1,
  'lib/auth': 1,
  migrations: 1,
  'lib/model': 0,
}

/** The folders that may import a library; it is a stranger everywhere else. */
const doors: Readonly<Record<string, readonly string[]>> = {
  knex: ['lib/store', 'migrations'],
  pg: ['lib/store', 'migrations'],
  '@electric-sql/pglite': ['lib/store'],
  ioredis: ['lib/cache'],
  'lru-cache': ['lib/cache', 'lib/auth', 'lib/window'],
  cockatiel: ['lib/cache', 'lib/store'],
  jsonwebtoken: ['lib/auth'],
  tiktoken: ['lib/window'],
  ajv: ['lib/routes'],
  express: ['middleware'],
  koa: ['middleware'],
}

/** Known by their types alone: at run time the host brings them, in whatever version. */
const typesOnly: ReadonlySet<string> = new Set(['express', 'koa'])

const vague = /^(utils?|helpers?|common|types?|constants?|services?|managers?|misc|shared)$/

interface Import {
  readonly from: string
  readonly isType: boolean
}

/** Everything in a file that breaks the house's rules, in words; empty when it keeps them. */
export function faultsOf(source: Source): string[] {
  const faults = [
    ...nameFaults(source.path),
    ...importsOf(source.text).flatMap((it) => importFaults(source, it)),
  ]
  if (!isShipped(source.path)) return faults.map((fault) => `${source.path}: ${fault}`)
  return [...faults, ...textFaults(source)].map((fault) => `${source.path}: ${fault}`)
}

const isShipped = (path: string): boolean => /^(lib|middleware|migrations)\//.test(path)

function nameFaults(path: string): string[] {
  const names = path.split('/').map((name) => name.replace(/\..*$/, ''))
  // The tests' own Postgres and Redis are services in the plain sense of the word.
  const wrong = names.filter((name, index) => vague.test(name) && !(names[0] === 'test' && index === 1))
  return wrong.map((name) => `the name "${name}" says nothing: name it after what it holds`)
}

/** Static, dynamic, type and re-exporting imports alike. */
export function importsOf(text: string): Import[] {
  const statics = [...text.matchAll(/^(import|export)\s+(type\s)?[^'";]*?\bfrom\s+['"]([^'"]+)['"]/gm)]
  const bare = [...text.matchAll(/^import\s+['"]([^'"]+)['"]/gm)]
  const dynamic = [...text.matchAll(/\b(?:import|require)\(\s*['"]([^'"]+)['"]\s*\)/g)]
  return [
    ...statics.map((match) => ({ from: match[3]!, isType: match[2] !== undefined })),
    ...[...bare, ...dynamic].map((match) => ({ from: match[1]!, isType: false })),
  ]
}

function importFaults({ path }: Source, { from, isType }: Import): string[] {
  if (path.startsWith('examples/') && leaves(path, from))
    return [`imports ${from}: a host imports the package by its name`]
  const here = unitOf(path)
  if (here === undefined || from.startsWith('node:')) return []
  return from.startsWith('.') ? houseFaults(here, path, from) : libraryFaults(here, from, isType)
}

function houseFaults(here: string, path: string, from: string): string[] {
  const there = unitOf(resolved(path, from))
  if (there === undefined) return [`imports ${from}, which is not part of the house`]
  if (there === here) return []
  if (there === 'migrations' && here !== 'lib/store' && here !== 'bin')
    return [`imports ${from}: migrations belong to the store`]
  if (floors[there]! < floors[here]!) return []
  const how = floors[there] === floors[here] ? 'goes sideways' : 'climbs'
  return [
    `imports ${from}, which ${how}: ${here} (floor ${floors[here]}) to ${there} (floor ${floors[there]})`,
  ]
}

function libraryFaults(here: string, from: string, isType: boolean): string[] {
  const library = from.split('/', from.startsWith('@') ? 2 : 1).join('/')
  const open = doors[library]
  if (!open) return [`imports ${library}, which has no door`]
  if (!open.includes(here)) return [`imports ${library}, whose door is ${open.join(' and ')}`]
  if (typesOnly.has(library) && !isType) return [`imports ${library} at run time: use import type`]
  return []
}

/** Whether a relative import leaves the examples, which share what is not about their framework. */
const leaves = (path: string, from: string): boolean =>
  from.startsWith('.') && !resolved(path, from).startsWith('examples/')

const resolved = (path: string, from: string): string => new URL(from, `file:///${path}`).pathname.slice(1)

/** The folder of the house that a path lies in. */
function unitOf(path: string): string | undefined {
  const folders = Object.keys(floors).filter((folder) => path.startsWith(`${folder}/`))
  return folders.sort((a, b) => b.length - a.length)[0]
}

const forbidden: readonly (readonly [RegExp, string])[] = [
  [
    /(?:[:<|&=,(]\s*|\bas\s+|\bkeyof\s+)any\b(?=\s*[[\]>,;)|&={}]|\s*$)/,
    '`any`: name the type, or use unknown',
  ],
  [/\bconsole\b/, 'console: hand it to onError, or return it'],
  [/\bimport\.meta\b/, 'import.meta: the build is CommonJS'],
  [/^(?:export\s+)?(?:let|var)\s/, 'module-level mutable state: pass a value'],
  [/^(?:const \w+ = )?await\s/, 'top-level await: the build is CommonJS'],
]

function textFaults({ path, text }: Source): string[] {
  const lines = withoutComments(text).split('\n')
  const faults = lines.flatMap((line, index) =>
    forbidden.filter(([pattern]) => pattern.test(line)).map(([, repair]) => `line ${index + 1}: ${repair}`),
  )
  const isBarrel = path !== 'lib/index.ts' && /^export (?:type )?\* from/m.test(text)
  return isBarrel ? [...faults, 'a barrel: only lib/index.ts may re-export a whole file'] : faults
}

/** Comments become spaces, so that lines keep their numbers. */
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, (comment) => comment.replaceAll(/[^\n]/g, ' '))
