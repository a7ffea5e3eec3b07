import type { JsonObject } from '../../lib/index.js'
import { limitsOf } from '../../lib/window/limits.js'
import { o200k } from '../../lib/window/o200k.js'
import type { RecordedMessage } from './conversations.js'
import { providerRefusal } from './rules.js'

const parameters = new Set([
  'model',
  'messages',
  'stream',
  'stream_options',
  'temperature',
  'max_tokens',
  'max_completion_tokens',
  'tools',
  'tool_choice',
  'user',
  'n',
])

/** What OpenAI would answer to a request that it cannot take, in its own words; nothing when it takes it. */
export function requestRefusal(body: JsonObject): string | undefined {
  const unknown = Object.keys(body).find((name) => !parameters.has(name))
  if (unknown !== undefined) return `Unknown parameter: '${unknown}'.`
  const messages = body['messages'] as readonly RecordedMessage[]
  if (!Array.isArray(messages) || messages.length === 0)
    return "Invalid 'messages': empty array. Expected an array with minimum length 1."
  return providerRefusal(messages) ?? overflow(body, messages)
}

/** Texts alone are counted: less than a provider counts, so that nothing is refused that a real one takes. */
function overflow(body: JsonObject, messages: readonly RecordedMessage[]): string | undefined {
  const limits = typeof body['model'] === 'string' ? limitsOf(body['model']) : undefined
  if (!limits) return undefined
  const texts = messages.map(({ content }) => (typeof content === 'string' ? content : ''))
  // More characters than this many for each token are not to be expected.
  if (texts.join('').length < limits.context / 2) return undefined
  const tokens = texts.reduce((sum, text) => sum + o200k.encode_ordinary(text).length, 0)
  const reserved = typeof body['max_tokens'] === 'number' ? body['max_tokens'] : 0
  if (tokens + reserved <= limits.context) return undefined
  return `This model's maximum context length is ${limits.context} tokens. However, your messages resulted in ${tokens} tokens. Please reduce the length of the messages.`
}
