import vm from 'node:vm'

import { expect } from 'chai'

import { Misconfigured } from '../../lib/model/errors.js'
import { createSessions, type CreateSession, type Sessions } from '../../lib/sessions/sessions.js'
import { recordingStore } from './recording-store.js'
import { refusal } from './refusal.js'

const userId = 'ann'
const nested = (depth: number): object => (depth === 1 ? {} : { in: nested(depth - 1) })
const ofBytes = (bytes: number) => ({ text: 'x'.repeat(bytes - '{"text":""}'.length) })

describe('sessions', () => {
  const create = async (fields: object) => {
    const { store, asked } = recordingStore()
    await createSessions(store).create({ userId, ...fields })
    return asked[0]!.given[0] as Record<string, unknown>
  }

  it('gives a new session an unguessable id', async () => {
    const [one, other] = [await create({}), await create({})]
    expect(one.sessionId).to.match(/^sess_[A-Za-z0-9_-]{32}$/)
    expect(one.sessionId).not.to.equal(other.sessionId)
  })

  it('takes an id of the caller', async () => {
    expect(await create({ id: 'my.own~id-1_' })).to.include({ sessionId: 'my.own~id-1_' })
  })

  it('says that an id is taken', async () => {
    const { store } = recordingStore({ createSession: undefined })
    const error = await refusal(() => createSessions(store).create({ userId, id: 'mine' }))
    expect(error).to.include({ status: 409, code: 'session_exists', param: 'session_id' })
  })

  it('passes on only the fields that were given', async () => {
    expect(await create({ id: 'a', name: 'Trip', model: undefined })).to.deep.equal({
      userId,
      sessionId: 'a',
      name: 'Trip',
    })
  })

  it('gives a new session the defaults of the host where its creator says nothing', async () => {
    const { store, asked } = recordingStore()
    const sessions = createSessions(store, {}, { maxHistoryMessages: 7, ttlSeconds: 60 })
    await sessions.create({ userId, id: 'a', maxHistoryMessages: undefined, ttlSeconds: null })
    expect(asked[0]!.given[0]).to.deep.equal({
      userId,
      sessionId: 'a',
      maxHistoryMessages: 7,
      ttlSeconds: null,
    })
  })

  it('passes on null, which takes a name, a model or a time to live away', async () => {
    const { store, asked } = recordingStore()
    await createSessions(store).change({ userId, id: 'a', name: null, model: null, ttlSeconds: null })
    expect(asked[0]!.given[0]).to.deep.equal({
      userId,
      sessionId: 'a',
      name: null,
      model: null,
      ttlSeconds: null,
    })
  })

  it('makes text of a numeric user id', async () => {
    const { store, asked } = recordingStore()
    await createSessions(store).create({ userId: 7, id: 'a' })
    expect(asked[0]!.given[0]).to.deep.equal({ userId: '7', sessionId: 'a' })
  })

  it('hands back what the store answers when there is no such session', async () => {
    const { store } = recordingStore({
      findSession: undefined,
      changeSession: undefined,
      deleteSession: false,
      clearSession: false,
    })
    const sessions = createSessions(store)
    const name = { userId, id: 'a' }
    expect(await sessions.find(name)).to.equal(undefined)
    expect(await sessions.change(name)).to.equal(undefined)
    expect(await sessions.delete(name)).to.equal(false)
    expect(await sessions.clear(name)).to.equal(false)
  })

  describe('refuses limits that', () => {
    const wrong: [string, object, string][] = [
      ['are unknown', { maxPage: 10 }, 'Did you mean maxPageLimit?'],
      ['are text', { maxMetadataBytes: '1kb' }, 'maxMetadataBytes must be an integer from 2'],
      ['are nothing', { maxPageLimit: 0 }, 'got 0'],
    ]
    for (const [name, limits, words] of wrong) {
      it(name, () => {
        expect(() => createSessions(recordingStore().store, limits)).to.throw(Misconfigured, words)
      })
    }
  })

  it('keeps the limits of the host', async () => {
    const { store } = recordingStore()
    const sessions = createSessions(store, { maxPageLimit: 5, maxMetadataBytes: 20, maxMetadataDepth: 1 })
    expect((await refusal(() => sessions.list({ userId, limit: 6 }))).message).to.include('from 1 to 5')
    expect((await refusal(() => sessions.create({ userId, metadata: { a: {} } }))).message).to.include(
      'Flatten',
    )
    const long = { a: 'x'.repeat(20) }
    expect((await refusal(() => sessions.create({ userId, metadata: long }))).message).to.include('20 bytes')
    await sessions.list({ userId, limit: 5 })
  })

  it('lists 50 sessions when nobody says how many', async () => {
    const { store, asked } = recordingStore()
    await createSessions(store).list({ userId })
    expect(asked[0]!.given).to.deep.equal([userId, { limit: 50 }])
  })

  describe('accepts at the bound', () => {
    const accepted: Record<string, object> = {
      'a name of 255 characters that are two units each': { name: '😀'.repeat(255) },
      'one message of history': { maxHistoryMessages: 1 },
      'a thousand messages of history': { maxHistoryMessages: 1000 },
      'metadata of 16 KiB': { metadata: ofBytes(16_384) },
      'metadata of 32 levels': { metadata: nested(32) },
      'metadata with names of the prototype': {
        metadata: JSON.parse('{"__proto__":{"a":1},"constructor":"x","toString":2}') as object,
      },
      'metadata of another realm': { metadata: vm.runInNewContext('({ a: [1, { b: null }] })') as object },
      'metadata with an absent field': { metadata: { a: undefined } },
      'a second to live': { ttlSeconds: 1 },
      'ten years to live': { ttlSeconds: 315_360_000 },
      'an id of 128 characters': { id: 'x'.repeat(128) },
    }
    for (const [name, fields] of Object.entries(accepted)) {
      it(name, async () => {
        expect(await create(fields)).to.include({ userId })
      })
    }
  })

  describe('refuses, and names field and repair:', () => {
    const sessions = (): Sessions => createSessions(recordingStore().store)
    const refused: [string, object, string, string][] = [
      ['a name that is empty', { name: '' }, 'name', '1 to 255 characters'],
      ['a name of 256 characters', { name: 'x'.repeat(256) }, 'name', '(256 characters)'],
      ['a name with NUL', { name: 'a\0b' }, 'name', 'NUL'],
      ['a name with a lone surrogate', { name: 'a\ud800b' }, 'name', 'lone surrogates'],
      ['a name that is a number', { name: 4 }, 'name', 'got 4'],
      ['a model that is an object', { model: {} }, 'model', 'got an object'],
      ['no message of history', { maxHistoryMessages: 0 }, 'maxHistoryMessages', '1 to 1000, got 0'],
      ['1,001 messages of history', { maxHistoryMessages: 1001 }, 'maxHistoryMessages', 'got 1001'],
      ['history as text', { maxHistoryMessages: '4k' }, 'maxHistoryMessages', 'from 1 to 1000, got "4k"'],
      ['history in halves', { maxHistoryMessages: 1.5 }, 'maxHistoryMessages', 'got 1.5'],
      ['history that is NaN', { maxHistoryMessages: NaN }, 'maxHistoryMessages', 'got NaN'],
      ['history that is null', { maxHistoryMessages: null }, 'maxHistoryMessages', 'got null'],
      ['metadata that is an array', { metadata: [] }, 'metadata', 'got an array'],
      ['metadata that is null', { metadata: null }, 'metadata', 'got null'],
      [
        'metadata above 16 KiB',
        { metadata: ofBytes(16_385) },
        'metadata',
        'at most 16384 bytes as JSON, got 16385',
      ],
      ['metadata of 33 levels', { metadata: nested(33) }, 'metadata', 'Flatten it'],
      ['metadata with NUL', { metadata: { a: ['\0'] } }, 'metadata', 'metadata.a[0] must not contain NUL'],
      ['metadata with a lone surrogate', { metadata: { a: '\udc00' } }, 'metadata', 'lone surrogates'],
      ['metadata with NUL in a name', { metadata: { 'a\0': 1 } }, 'metadata', 'A name in metadata'],
      [
        'metadata with a date',
        { metadata: { at: new Date() } },
        'metadata',
        'metadata.at must be JSON, got a Date',
      ],
      ['metadata with a function', { metadata: { f() {} } }, 'metadata', 'got a function'],
      ['metadata with a bigint', { metadata: { n: 1n } }, 'metadata', 'got a bigint'],
      ['metadata with infinity', { metadata: { n: Infinity } }, 'metadata', 'metadata.n must be finite'],
      ['no time to live', { ttlSeconds: 0 }, 'ttlSeconds', 'got 0'],
      ['more than ten years', { ttlSeconds: 315_360_001 }, 'ttlSeconds', '315360000'],
      ['an empty id', { id: '' }, 'session_id', '1 to 128'],
      ['an id of 129 characters', { id: 'x'.repeat(129) }, 'session_id', '1 to 128'],
      ['an id with a slash', { id: 'a/b' }, 'session_id', '1 to 128'],
      ['an id that ends in a line feed', { id: 'a\n' }, 'session_id', '1 to 128'],
      ['an id that is null', { id: null }, 'session_id', '1 to 128'],
      ['the id "new"', { id: 'new' }, 'session_id', 'meaning of its own'],
      ['the id ".."', { id: '..' }, 'session_id', 'meaning of its own'],
      ['a slip', { maxHistoryMesages: 4 }, 'maxHistoryMesages', 'Did you mean maxHistoryMessages?'],
      ['snake case', { ttl_seconds: 4 }, 'ttl_seconds', 'Did you mean ttlSeconds?'],
      ['a part of a name', { ttl: 4 }, 'ttl', 'Did you mean ttlSeconds?'],
      ['a name of the prototype', JSON.parse('{"__proto__":{}}') as object, '__proto__', 'not a known field'],
      ['a method of objects', { hasOwnProperty: 1 }, 'hasOwnProperty', 'not a known field'],
    ]
    for (const [name, fields, param, words] of refused) {
      it(name, async () => {
        const error = await refusal(() => sessions().create(withUser(fields)))
        expect(error).to.include({ status: 400, code: 'invalid_request', param })
        expect(error.message).to.include(words)
      })
    }

    /** Spread keeps an own field that is named __proto__. */
    const withUser = (fields: object): CreateSession => ({ ...fields, userId })

    const pages: [string, object, string, string][] = [
      ['no item', { limit: 0 }, 'limit', 'from 1 to 100, got 0'],
      ['101 items', { limit: 101 }, 'limit', 'got 101'],
      ['a negative offset', { offset: -1 }, 'offset', 'got -1'],
      ['an offset of 1,001', { offset: 1001 }, 'offset', 'beyond that go on with after'],
      ['an empty cursor', { after: '' }, 'after', 'got ""'],
      ['two places', { after: 'x', offset: 0 }, 'after', 'Give one of offset, after and before'],
      ['an order, which sessions do not have', { order: 'asc' }, 'order', 'not a known field'],
    ]
    for (const [name, page, param, words] of pages) {
      it(`a page of ${name}`, async () => {
        const error = await refusal(() => sessions().list({ userId, ...page }))
        expect(error).to.include({ status: 400, param })
        expect(error.message).to.include(words)
      })
    }

    const nobody: unknown[] = [undefined, null, '', 0]
    for (const user of nobody) {
      it(`nobody as a user: ${String(user)}`, async () => {
        const error = await refusal(() => sessions().create({ userId: user as string }))
        expect(error).to.include({ status: 401, code: 'unauthorized' })
      })
    }

    const odd: unknown[] = [
      'a\0b',
      'a\ud800',
      'x'.repeat(256),
      'é'.repeat(128),
      NaN,
      1.5,
      2 ** 53,
      true,
      {},
      ['a'],
    ]
    for (const user of odd) {
      it(`a user id that cannot be stored: ${JSON.stringify(user)?.slice(0, 20)}`, async () => {
        const error = await refusal(() => sessions().find({ userId: user as string, id: 'a' }))
        expect(error).to.include({ status: 400, param: 'userId' })
      })
    }
  })
})
