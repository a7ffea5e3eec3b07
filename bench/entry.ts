/*
 * What an entry of the cache should be made of: bytes, and microseconds to write and to read, by encoding.
 *
 *     npm run bench:entry [conversations.jsonl]
 *
 * With a file of recorded conversations, `{messages: […]}` a line, its messages are used; else made ones. Rounds are
 * interleaved and medians printed. msgpackr is measured where it is installed.
 */
import { readFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { deflateRawSync, gzipSync, gunzipSync, inflateRawSync } from 'node:zlib'

import { decodeEntry, encodeEntry, sessionHash } from '../lib/cache/entry.js'
import { copyJson } from '../lib/model/copy.js'
import type { History } from '../lib/model/history.js'
import type { Message } from '../lib/model/message.js'

interface Encoding {
  readonly name: string
  write(history: History): Buffer
  read(bytes: Buffer): unknown
}

const rounds = 9
const session = sessionHash({ userId: 'bench', sessionId: 'bench' })

const toJson = (history: History): Buffer => Buffer.from(JSON.stringify(history))
const fromJson = (bytes: Buffer): unknown => JSON.parse(bytes.toString('utf8'))

const encodings: Encoding[] = [
  {
    name: 'entry (JSON, header, checksum)',
    write: (history) => encodeEntry(history, session)!,
    read: (bytes) => decodeEntry(bytes, session),
  },
  { name: 'JSON', write: toJson, read: fromJson },
  { name: 'v8.serialize', write: serialize, read: deserialize },
  {
    name: 'JSON, deflate 1',
    write: (history) => deflateRawSync(toJson(history), { level: 1 }),
    read: (bytes) => fromJson(inflateRawSync(bytes)),
  },
  {
    name: 'JSON, gzip 6',
    write: (history) => gzipSync(toJson(history)),
    read: (bytes) => fromJson(gunzipSync(bytes)),
  },
  ...(await packers()),
]

async function packers(): Promise<Encoding[]> {
  const name = 'msgpackr'
  try {
    const { pack, unpack } = (await import(name)) as {
      pack: (value: unknown) => Buffer
      unpack: (bytes: Buffer) => unknown
    }
    return [{ name, write: (value) => pack(value), read: (bytes) => unpack(bytes) }]
  } catch {
    console.log('msgpackr is not installed: left out')
    return []
  }
}

function messages(): Message[] {
  const file = process.argv[2]
  if (!file) return Array.from({ length: 400 }, (_, n) => made(n))
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  return lines.flatMap((line) => (JSON.parse(line) as { messages: Message[] }).messages.slice(1))
}

const made = (n: number): Message => ({
  role: n % 2 ? 'assistant' : 'user',
  content: `${n}: The quick brown fox jumps over the lazy "dog".\n`.repeat(n % 2 ? 14 : 4),
})

function historyOf(count: number): History {
  const all = messages()
  const turns = Array.from({ length: count / 2 }, (_, index) => ({
    exchange: index + 1,
    turn: index + 1,
    status: 'done' as const,
    messages: [all[2 * index]!, all[2 * index + 1]!].map((message) => ({ message, tokens: 40 })),
  }))
  return { revision: '0d9f6a3e-8a5c-4a52-9f9f-3f2d1f1f2a6b', system: [], turns, from: 1, reach: count + 2 }
}

function microseconds(work: () => unknown, times: number): number {
  const start = process.hrtime.bigint()
  for (let n = 0; n < times; n++) work()
  return Number(process.hrtime.bigint() - start) / 1000 / times
}

const median = (values: number[]): string => values.sort((a, b) => a - b)[values.length >> 1]!.toFixed(1)

function measure(count: number): void {
  const history = historyOf(count)
  const times = Math.ceil(8000 / count)
  const results = encodings.map((encoding) => ({ encoding, write: [] as number[], read: [] as number[] }))
  const copies: number[] = []
  for (let round = 0; round < rounds; round++) {
    for (const { encoding, write, read } of results) {
      const bytes = encoding.write(history)
      write.push(microseconds(() => encoding.write(history), times))
      read.push(microseconds(() => encoding.read(bytes), times))
    }
    copies.push(microseconds(() => copyJson(history), times))
  }
  console.log(`\n${count} messages`)
  console.table(
    results.map(({ encoding, write, read }) => ({
      encoding: encoding.name,
      bytes: encoding.write(history).length,
      'write us': median(write),
      'read us': median(read),
    })),
  )
  console.log(`a copy in memory: ${median(copies)} us`)
}

console.log(`Node ${process.version}, medians of ${rounds} interleaved rounds`)
for (const count of [20, 100, 400]) measure(count)
