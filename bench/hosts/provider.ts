/*
 * A provider that answers at once, in a process of its own: `/json` an answer, `/stream` one in `chunks` events, `/brief` one as long as `/json`'s, `/hold`
 * a stream that stands still after its first events until its client is gone.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { text } from '../places.js'
import { chunksOfBrief, chunksOfStream } from './chunks.js'

const answer = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'bench',
  choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1000, completion_tokens: 80, total_tokens: 1080 },
})

const event = (delta: object, finish: string | null): string =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'bench', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`

const chunk = event({ content: 'a few words, ' }, null)

async function stream(res: ServerResponse, chunks: number): Promise<void> {
  res.setHeader('content-type', 'text/event-stream')
  for (let n = 0; n < chunks; n++) {
    res.write(chunk)
    // One event a write, as providers do.
    await new Promise(setImmediate)
  }
  res.end(`${event({}, 'stop')}data: [DONE]\n\n`)
}

function hold(res: ServerResponse): void {
  res.setHeader('content-type', 'text/event-stream')
  res.write(chunk.repeat(20))
}

const server = createServer((req, res) => {
  req.resume()
  req.on('end', () => {
    if (req.url === '/stream') return void stream(res, chunksOfStream)
    if (req.url === '/brief') return void stream(res, chunksOfBrief)
    if (req.url === '/hold') return hold(res)
    res.setHeader('content-type', 'application/json')
    res.end(answer)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('disconnect', () => process.exit())
