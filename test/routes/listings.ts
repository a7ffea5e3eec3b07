import { expect } from 'chai'

import type { Message } from '../../lib/model/message.js'
import { dataOf, errorOf } from './client.js'
import { exchange, exchanges, expectError, type Stage } from './stage.js'
import { wrongMessagePages, wrongSessionPages } from './wrong.js'

/** Pages of sessions and messages, and single turns. */
export function listings(stage: Stage): void {
  sessionPages(stage)
  messagePages(stage)
  singleTurns(stage)
}

function sessionPages(stage: Stage): void {
  describe('GET /', () => {
    it('lists the newest activity first, and nobody else’s sessions', async () => {
      const ids = [await stage.created(), await stage.created(), await stage.created()]
      await stage.call('POST', '', { user: `${stage.user}-other`, body: {} })
      await stage.append(ids[0]!, exchange(1))
      const { json } = await stage.call('GET', '', stage.as())
      expect(Object.keys(json)).to.deep.equal(['object', 'data', 'has_more', 'next_cursor'])
      expect(json).to.include({ object: 'list', has_more: false })
      const listed = (json.data as { session_id: string }[]).map(({ session_id }) => session_id)
      expect(listed).to.deep.equal([ids[0], ids[2], ids[1]])
    })

    it('lists nothing for somebody new', async () => {
      const { json } = await stage.call('GET', '', stage.as())
      expect(json).to.deep.equal({ object: 'list', data: [], has_more: false, next_cursor: null })
    })

    it('lists 50 when nobody says how many, and 100 at most', async () => {
      for (let count = 0; count < 101; count++) {
        await stage.turnlog.sessions.create({ userId: stage.user })
      }
      expect(dataOf(await stage.call('GET', '', stage.as()))).to.have.length(50)
      const most = await stage.call('GET', '?limit=100', stage.as())
      expect(dataOf(most)).to.have.length(100)
      expect(most.json.has_more).to.equal(true)
    })

    it('pages by cursor, not disturbed by sessions that come meanwhile', async () => {
      const ids: string[] = []
      for (let count = 0; count < 7; count++) ids.unshift(await stage.created())
      const seen: unknown[] = []
      let cursor = ''
      for (let more = true; more;) {
        const reply = await stage.call('GET', `?limit=3${cursor}`, stage.as())
        seen.push(...dataOf(reply).map(({ session_id }) => session_id))
        more = reply.json.has_more as boolean
        cursor = `&after=${encodeURIComponent(reply.json.next_cursor as string)}`
        await stage.created()
      }
      expect(seen).to.deep.equal(ids)
    })

    it('pages by offset', async () => {
      const ids = [await stage.created(), await stage.created(), await stage.created()].reverse()
      const reply = await stage.call('GET', '?limit=1&offset=1', stage.as())
      expect(dataOf(reply).map(({ session_id }) => session_id)).to.deep.equal([ids[1]])
      expect(reply.json.has_more).to.equal(true)
    })

    for (const [query, param, words] of wrongSessionPages) {
      it(`refuses ?${query.slice(0, 40)}`, async () => {
        const reply = await stage.call('GET', `?${query}`, stage.as())
        expectError(reply, 400, 'invalid_request', param)
        expect(errorOf(reply).message).to.include(words)
      })
    }
  })
}

function messagePages(stage: Stage): void {
  const contents = (data: readonly object[]): unknown[] =>
    data.map((message) => (message as { content?: unknown }).content)
  const said = (count: number): unknown[] => contents(exchanges(count))

  describe('GET /{id}/messages', () => {
    it('lists a conversation in its order', async () => {
      const id = await stage.createdWith(exchanges(2))
      const reply = await stage.call('GET', `/${id}/messages`, stage.as())
      expect(reply.status).to.equal(200)
      expect(reply.json).to.include({ object: 'list', has_more: false })
      const data = dataOf(reply)
      expect(data.map(({ role, content }) => ({ role, content }))).to.deep.equal(exchanges(2))
      expect(data.map(({ turn }) => turn)).to.deep.equal([1, 1, 2, 2])
      const { created_at, ...first } = data[0]!
      expect(created_at).to.match(/^\d{4}-\d\d-\d\dT.*Z$/)
      expect(first).to.deep.equal({
        id: 'msg_1_0',
        turn: 1,
        role: 'user',
        content: 'question 1',
        tokens: null,
        status: 'done',
      })
    })

    it('lists a greeting that nobody asked for', async () => {
      const greeting = { role: 'assistant', content: 'Welcome' }
      const id = await stage.createdWith([greeting, ...exchange(1)])
      const data = dataOf(await stage.call('GET', `/${id}/messages`, stage.as()))
      expect(data.map(({ role, content }) => ({ role, content }))).to.deep.equal([greeting, ...exchange(1)])
    })

    it('lists what is still being answered as open', async () => {
      const id = await stage.created()
      const turn = await stage.turnlog.begin({ userId: stage.user, sessionId: id, question: 'well?' })
      const open = dataOf(await stage.call('GET', `/${id}/messages`, stage.as()))
      expect(open.map(({ content, status }) => [content, status])).to.deep.equal([['well?', 'open']])
      await turn.fail(new Error('no provider'))
      const failed = dataOf(await stage.call('GET', `/${id}/messages`, stage.as()))
      expect(failed.map(({ content, status }) => [content, status])).to.deep.equal([['well?', 'failed']])
    })

    it('lists whatever a message holds, as it was parsed', async () => {
      const odd = [
        '{"role":"user","content":[{"type":"text","text":"a\\u0000b\\ud800"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}',
        '{"role":"assistant","content":null,"refusal":"no","__proto__":{"a":1},"constructor":2,"x-own":[{}]}',
        '{"role":"user","name":"Ann"}',
      ].map((text) => JSON.parse(text) as Message)
      const id = await stage.createdWith(odd)
      const data = dataOf(await stage.call('GET', `/${id}/messages`, stage.as()))
      const own = data.map(
        ({ id: _i, turn: _t, tokens: _k, status: _s, created_at: _c, ...message }) => message,
      )
      expect(own.map((message) => JSON.stringify(message))).to.deep.equal(
        odd.map((message) => JSON.stringify(message)),
      )
    })

    it('never lets a message’s field stand for one of ours, and loses neither', async () => {
      const message = {
        role: 'assistant',
        content: 'hi',
        id: 'theirs',
        turn: 99,
        status: 'completed',
        tokens: 'many',
        created_at: 'never',
        message: 'inner',
      }
      const id = await stage.createdWith([message])
      const [listed] = dataOf(await stage.call('GET', `/${id}/messages`, stage.as()))
      expect(listed).to.deep.include({ id: 'msg_1_0', turn: 1, status: 'done', tokens: null, message })
      expect(listed!.created_at).to.match(/Z$/)
    })

    it('pages forward by cursor, and finds what comes meanwhile at the end', async () => {
      const id = await stage.createdWith(exchanges(4))
      const seen: unknown[] = []
      let cursor = ''
      for (let page = 0; page < 4; page++) {
        const reply = await stage.call('GET', `/${id}/messages?limit=3${cursor}`, stage.as())
        seen.push(...contents(dataOf(reply)))
        cursor = `&after=${reply.json.next_cursor as string}`
        await stage.append(id, exchange(5 + page))
      }
      expect(seen).to.deep.equal(said(6))
    })

    it('pages backward from the newest, not disturbed by what comes meanwhile', async () => {
      const id = await stage.createdWith(exchanges(3))
      const first = await stage.call('GET', `/${id}/messages?limit=4&order=desc`, stage.as())
      await stage.append(id, exchange(4))
      const after = first.json.next_cursor as string
      const second = await stage.call('GET', `/${id}/messages?limit=4&order=desc&after=${after}`, stage.as())
      expect(first.json.has_more).to.equal(true)
      expect(second.json.has_more).to.equal(false)
      expect(contents([...dataOf(first), ...dataOf(second)])).to.deep.equal(said(3).reverse())
    })

    it('lists what stands just before a cursor', async () => {
      const id = await stage.createdWith(exchanges(3))
      const { json } = await stage.call('GET', `/${id}/messages?limit=5`, stage.as())
      const before = await stage.call(
        'GET',
        `/${id}/messages?limit=2&before=${json.next_cursor as string}`,
        stage.as(),
      )
      expect(contents(dataOf(before))).to.deep.equal(['question 2', 'answer 2'])
      expect(before.json.has_more).to.equal(true)
    })

    it('goes back page by page to the beginning', async () => {
      const id = await stage.createdWith(exchanges(4))
      let { json } = await stage.call('GET', `/${id}/messages?limit=8`, stage.as())
      const seen: unknown[] = []
      for (let more = true; more; more = json.has_more as boolean) {
        const before = json.next_cursor as string
        const reply = await stage.call('GET', `/${id}/messages?limit=3&before=${before}`, stage.as())
        seen.unshift(...contents(dataOf(reply)))
        json = reply.json
      }
      expect(seen).to.deep.equal(said(4).slice(0, 7))
    })

    it('pages by offset up to 1,000', async () => {
      const id = await stage.createdWith(exchanges(2))
      const reply = await stage.call('GET', `/${id}/messages?offset=3`, stage.as())
      expect(contents(dataOf(reply))).to.deep.equal(['answer 2'])
      expect((await stage.call('GET', `/${id}/messages?offset=1000`, stage.as())).status).to.equal(200)
    })

    for (const [query, param, words] of wrongMessagePages) {
      it(`refuses ?${query.slice(0, 40)}`, async () => {
        const reply = await stage.call('GET', `/${await stage.created()}/messages?${query}`, stage.as())
        expectError(reply, 400, 'invalid_request', param)
        expect(errorOf(reply).message).to.include(words)
      })
    }
  })
}

function singleTurns(stage: Stage): void {
  describe('GET /{id}/turns/{turn}', () => {
    it('shows what became of a turn, its usage and its receipt in snake case', async () => {
      const id = await stage.createdWith(exchanges(2))
      await stage.call('PUT', `/${id}`, stage.as({ body: { max_history_messages: 1 } }))
      const turn = await stage.turnlog.begin({ userId: stage.user, sessionId: id, question: 'c' })
      await turn.complete({ role: 'assistant', content: 'd' }, { usage: { total_tokens: 7 } })
      const { status, json } = await stage.call('GET', `/${id}/turns/3`, stage.as())
      expect(status).to.equal(200)
      expect(json).to.deep.include({ turn: 3, status: 'done', usage: { total_tokens: 7 } })
      expect(json.created_at).to.match(/Z$/)
      expect(json.closed_at).to.match(/Z$/)
      expect(json.receipt).to.have.all.keys(
        'injected',
        'dropped',
        'tokens',
        'source',
        'summarized',
        'trimmed_by',
        'choices_not_stored',
        'repaired',
        'reconciled',
        'degraded',
      )
      expect(json.receipt).to.include({ injected: turn.receipt.injected, trimmed_by: 'messages' })
    })

    it('shows a turn that is open', async () => {
      const id = await stage.created()
      const turn = await stage.turnlog.begin({ userId: stage.user, sessionId: id, question: 'a' })
      const { json } = await stage.call('GET', `/${id}/turns/1`, stage.as())
      expect(json).to.include({ turn: 1, status: 'open', closed_at: null })
      await turn.discard()
      expectError(await stage.call('GET', `/${id}/turns/1`, stage.as()), 404, 'turn_not_found')
    })

    it('knows no turn that was not', async () => {
      const id = await stage.createdWith(exchange(1))
      expectError(await stage.call('GET', `/${id}/turns/2`, stage.as()), 404, 'turn_not_found', 'turn')
      const nowhere = await stage.call('GET', '/nobodys/turns/1', stage.as())
      expectError(nowhere, 404, 'session_not_found', 'session_id')
    })

    for (const turn of ['0', '-1', '1.5', 'one', '01', '2147483648', '99999999999999999999', '__proto__']) {
      it(`refuses ${turn} as a turn`, async () => {
        const reply = await stage.call('GET', `/${await stage.created()}/turns/${turn}`, stage.as())
        expectError(reply, 400, 'invalid_request', 'turn')
        expect(errorOf(reply).message).to.include('an integer from 1 to 2147483647')
      })
    }
  })
}
