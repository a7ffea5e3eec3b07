/** Loaded into a host server before it starts: a provider, by nock, that plays the recorded conversations. */
import { Readable } from 'node:stream'

import nock from 'nock'

import { readConversations } from './conversations.js'
import { recordedProvider } from './recorded-answers.js'

const provider = recordedProvider(readConversations(process.env.CONVERSATIONS!))

nock.disableNetConnect()
nock('http://provider.test')
  .persist()
  .post('/v1/chat/completions')
  .reply((_uri, requestBody) => {
    const answer = provider(requestBody)
    return 'stream' in answer
      ? [200, Readable.from(answer.stream), { 'content-type': 'text/event-stream' }]
      : [answer.status, answer.json, { 'content-type': 'application/json' }]
  })
