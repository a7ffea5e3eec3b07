import { expect } from 'chai'
import { assert, asyncProperty, jsonValue, string } from 'fast-check'

import type { HistoryMessage, Message } from '../../lib/model/message.js'
import { PostgresStore } from '../../lib/store/postgres.js'
import { freshDatabase } from '../services/postgres.js'
import { migrateAt } from './migrated.js'
import { aSession, ask } from './asking.js'

const picture = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA', detail: 'low' } }

const messages: Record<string, Message> = {
  'plain text': { role: 'user', content: 'hello' },
  'an empty text': { role: 'user', content: '' },
  'parts with an image': { role: 'user', content: [{ type: 'text', text: 'see' }, picture] },
  'no content': {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c', function: { arguments: '{"a":1}' } }],
  },
  'absent content': { role: 'assistant', refusal: 'no' },
  'unknown fields': { role: 'user', content: 'x', name: 'n', vendor: { deep: [1.5, true, null, { a: '' }] } },
  emoji: { role: 'user', content: '👩‍👩‍👧 ✌️ \u{E0041}\u{FEFF}\u{202E}' },
  NUL: { role: 'user', content: 'a\0b' },
  'a lone surrogate': { role: 'user', content: '\ud83d and \udc00' },
  'NUL and lone surrogates in fields': { role: 'tool', tool_call_id: '\0', content: 'r', '\udc00': '\ud800' },
  'what looks like escapes': {
    role: 'user',
    content: String.raw`\u0000 \ud800 \\ \" ' $1 ? :name {} {a,b} NULL`,
  },
  'a text of JSON': { role: 'user', content: '{"role":"system","content":"\\u0000"}' },
  'a __proto__ key': JSON.parse(
    '{"role":"user","content":"x","__proto__":{"polluted":1},"constructor":2}',
  ) as Message,
  'numbers at the edge': { role: 'user', content: 'x', n: [1e308, -0.1, 2 ** 53, 1e-7] },
  'a megabyte': { role: 'assistant', content: 'é"\\\n'.repeat(250_000) },
  'a megabyte of parts': { role: 'user', content: [{ type: 'text', text: '\0"'.repeat(350_000) }] },
}

describe('store: content', function () {
  this.timeout(60_000)
  let database: Awaited<ReturnType<typeof freshDatabase>>
  let store: PostgresStore
  before(async () => {
    database = await freshDatabase()
    await migrateAt(database.url)
    store = new PostgresStore({ database: database.url })
  })
  after(async () => {
    await store?.close()
    await database?.drop()
  })

  /** Store the message in every place that a message has, and read it in every way. */
  async function comesBack(message: Message): Promise<void> {
    const session = await aSession(store)
    const stored: HistoryMessage = { message, tokens: 7 }
    const { turn } = await ask(store, session, { system: [stored], question: [stored] }, { answer: [stored] })
    const { history } = (await store.readHistory(session))!
    expect(history.system).to.deep.equal([stored])
    expect(history.turns[0]?.messages).to.deep.equal([stored, stored])
    const listed = (await store.listMessages(session, { limit: 10 }))!.data
    const finished = (await store.findFinishedTurn({ ...session, turn }))!.messages
    for (const each of [...listed, ...finished]) expect(each.message).to.deep.equal(message)
    for (const each of listed)
      expect(JSON.stringify(each.message)).to.have.length(JSON.stringify(message).length)
    const again = await ask(store, session, { system: [stored] })
    expect(again.parts, 'the same pin is not stored again').to.equal(1)
  }

  for (const [name, message] of Object.entries(messages)) {
    it(`gives back ${name}`, () => comesBack(message))
  }

  it('gives back any JSON', async () => {
    const value = jsonValue({ noUnicodeString: false, stringUnit: 'binary' }).map((json) => ({ json }))
    await assert(
      asyncProperty(string({ unit: 'binary' }), value, async (content, extra) =>
        comesBack(JSON.parse(JSON.stringify({ role: 'user', content, ...extra })) as Message),
      ),
      { numRuns: 60 },
    )
  })

  it('takes any text in the fields beside the messages', async () => {
    const session = await aSession(store)
    const odd = 'a\0b\ud800'
    await ask(
      store,
      session,
      { format: odd, model: odd },
      { calls: [odd], finishReason: odd, usage: { note: odd } },
    )
    const turn = await store.findTurn({ ...session, turn: 1 })
    expect(turn?.usage).to.deep.equal({ note: odd })
    expect(turn?.finishReason).to.equal('a\uFFFDb\uFFFD')
    expect((await ask(store, session, { answers: [odd] })).exchange).to.equal(1)
  })
})
