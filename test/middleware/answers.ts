/** What a provider says, as bytes: a completion and a stream of chat completions, and the ways in which they go wrong. */
export interface ProviderAnswer {
  readonly status: number
  readonly type: string
  readonly text: string
  /** Where a pipe cuts it in two; every few bytes by default. */
  readonly cutAt?: number
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

const anthropicHead = { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude' }

/** The same in Anthropic's shape. */
export const anthropicJson = (text: string): ProviderAnswer => ({
  status: 200,
  type: 'application/json',
  text: JSON.stringify({
    ...anthropicHead,
    content: [{ type: 'text', text }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 9, output_tokens: 3 },
  }),
})

export const anthropicStream = (text: string): ProviderAnswer => ({
  status: 200,
  type: 'text/event-stream',
  text: [
    {
      type: 'message_start',
      message: {
        ...anthropicHead,
        content: [],
        stop_reason: null,
        usage: { input_tokens: 1, output_tokens: 1 },
      },
    },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } },
    { type: 'message_stop' },
  ]
    .map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    .join(''),
})
