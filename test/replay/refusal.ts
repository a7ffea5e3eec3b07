import type { JsonObject } from '../../lib/index.js'
import type { ProviderAnswer } from '../middleware/answers.js'
import { messagesRefusal } from './anthropic-rules.js'
import { requestRefusal } from './openai-rules.js'

/** What a provider answers to a request that it cannot take, in its own shape; nothing when it takes it. */
export function refusedBy(
  provider: 'openai-chat' | 'anthropic-messages',
  body: JsonObject,
): ProviderAnswer | undefined {
  const isAnthropic = provider === 'anthropic-messages'
  const message = isAnthropic ? messagesRefusal(body) : requestRefusal(body)
  if (message === undefined) return undefined
  const error = isAnthropic
    ? { type: 'error', error: { type: 'invalid_request_error', message }, request_id: 'req_1' }
    : { error: { message, type: 'invalid_request_error', ...openaiFault(message) } }
  return { status: 400, type: 'application/json', text: JSON.stringify(error) }
}

/** Which field OpenAI blames, and the name that clients know the fault by. */
function openaiFault(message: string): { param: string | null; code: string | null } {
  if (message.startsWith('This model')) return { param: 'messages', code: 'context_length_exceeded' }
  const unknown = /^Unknown parameter: '(.*)'/.exec(message)?.[1]
  if (unknown !== undefined) return { param: unknown, code: 'unknown_parameter' }
  return { param: 'messages', code: null }
}
