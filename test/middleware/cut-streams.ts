import { expect } from 'chai'

import type { Turnlog } from '../../lib/index.js'
import { chatStreams } from '../wire/streams.js'
import type { Framework, RunningHost } from './framework.js'

/** A short one that has everything: comments, ids, data over several lines, a named event. The core's suites cut all of them. */
const { name, bytes, answer } = chatStreams.find((stream) => stream.name === 'split-data-lines')!

/** A recorded stream through one framework, cut in two at every byte, several at once. */
export function remembersCutStreams(framework: Framework, core: () => Turnlog): void {
  let host: RunningHost | undefined
  afterEach(() => host?.stop())

  const ask = (cutAt: number): Promise<Response> =>
    fetch(`${host!.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'x-user': 'ann', 'content-type': 'application/json', 'x-way': 'pipe' },
      body: JSON.stringify({
        session_id: 'new',
        user: String(cutAt),
        model: 'm',
        messages: [{ role: 'user', content: 'hi' }],
        stream: true,
      }),
    })

  it(`passes unchanged and is remembered, cut at each of its bytes (${name})`, async () => {
    const text = bytes.toString()
    host = await framework.start({
      turnlog: core(),
      provider: ({ user }) => ({ status: 200, type: 'text/event-stream', text, cutAt: Number(user) }),
    })
    const said = [{ role: 'user', content: 'hi' }, ...answer!.messages]
    let next = 1
    const worker = async (): Promise<void> => {
      for (let cutAt = next++; cutAt < bytes.length; cutAt = next++) {
        const response = await ask(cutAt)
        expect(bytes.equals(Buffer.from(await response.arrayBuffer())), `cut at ${cutAt}`).to.equal(true)
        const sessionId = response.headers.get('x-session-id')!
        const { data } = (await core().messages.list({ userId: 'ann', sessionId }))!
        expect(
          data.map(({ message }) => message),
          `cut at ${cutAt}`,
        ).to.deep.equal(said)
        expect(new Set(data.map(({ status }) => status)), `cut at ${cutAt}`).to.deep.equal(new Set(['done']))
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
  }).timeout(60_000)
}
