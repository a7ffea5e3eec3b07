/** What a provider says, as bytes: a completion and a stream of chat completions, and the ways in which they go wrong. */
export interface ProviderAnswer {
  readonly status: number
  readonly type: string
  readonly text: string
}

const head = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'gpt-4o' }

export const jsonAnswer = (content: string, more: object = {}): ProviderAnswer => ({
  status: 200,
  type: 'application/json',
  text: JSON.stringify({
    ...head,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, refusal: null },
        finish_reason: 'stop',
        logprobs: null,
      },
    ],
    usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
    ...more,
  }),
})

export const chunk = (delta: object, finish_reason: string | null = null): string =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`

export const doneEvent = 'data: [DONE]\n\n'

export const streamAnswer = (...pieces: string[]): ProviderAnswer => ({
  status: 200,
  type: 'text/event-stream',
  text: [
    chunk({ role: 'assistant', content: '' }),
    ...pieces.map((content) => chunk({ content })),
    chunk({}, 'stop'),
    doneEvent,
  ].join(''),
})

export const refusedAnswer: ProviderAnswer = {
  status: 429,
  type: 'application/json',
  text: '{"error":{"message":"Slow down.","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}',
}

export const brokenStream: ProviderAnswer = {
  status: 200,
  type: 'text/event-stream',
  text: `${chunk({ role: 'assistant', content: 'I was about' })}data: {"error":{"message":"overloaded","code":529}}\n\n`,
}
