import { InvalidRequest } from '../model/errors.js'
import { isObject, type JsonObject } from '../model/json.js'
import { isPinned, type Message } from '../model/message.js'
import type { Format, Prompt, Question } from './format.js'
import { readMessages, wholeNumber } from './messages.js'
import { adoptForChat } from './openai-adopt.js'
import { callIds, ChatReader } from './openai-answer.js'
import { repairChat } from './openai-repair.js'
import { replayChat } from './openai-replay.js'

/** OpenAI's chat completions, and what the many providers that are compatible with them make of it. */
export const openaiChat: Format = {
  name: 'openai-chat',
  framing: undefined,
  read,
  inject,
  reader: () => new ChatReader(),
  calls: callIds,
  answers: answersOf,
  closeOff,
  adopt: adoptForChat,
  repair: repairChat,
  promptTokens: ({ prompt_tokens: tokens }) => wholeNumber(tokens),
  replay: replayChat,
  failure: (error) => `data: ${JSON.stringify(error)}\n\n`,
}

function read(body: JsonObject): Question {
  const messages = readMessages(body['messages'], speakers)
  for (const [at, message] of messages.entries()) checkResult(message, at)
  const first = messages.findIndex((message) => !isPinned(message))
  if (first < 0) throw new InvalidRequest(onlyPinned, { param: 'messages' })
  const { model, tools, functions } = body
  const outputTokens = wholeNumber(body['max_completion_tokens']) ?? wholeNumber(body['max_tokens'])
  const definitions = [tools, functions].find((list) => Array.isArray(list))
  return {
    system: messages.slice(0, first),
    messages: messages.slice(first),
    stream: body['stream'] === true,
    ...(typeof model === 'string' && { model }),
    ...(outputTokens !== undefined && { outputTokens }),
    ...(definitions && { tools: definitions }),
  }
}

/** A result that names no call could never stand beside it. */
function checkResult(message: Message, at: number): void {
  if (message.role !== 'tool' || answersOf(message).length > 0) return
  const param = `messages[${at}].tool_call_id`
  throw new InvalidRequest(`${param} must be the id of the tool call that this is the result of.`, { param })
}

const speakers = '"system", "developer", "user", "assistant" or "tool"'

const onlyPinned =
  'messages holds only system messages. Add what is asked, such as {"role": "user", "content": "Hello"}.'

function inject(body: JsonObject, { system, messages }: Prompt): JsonObject {
  return { ...body, messages: [...system, ...messages].map(asSent) }
}

/** An answer's audio comes with its data, and is sent back by its id alone. */
function asSent(message: Message): Message {
  const { role, audio } = message
  if (role !== 'assistant' || !isObject(audio) || typeof audio['id'] !== 'string') return message
  return { ...message, audio: { id: audio['id'] } }
}

function answersOf({ role, tool_call_id: id }: Message): readonly string[] {
  return role === 'tool' && typeof id === 'string' && id !== '' ? [id] : []
}

/** Calls that were cut off can never be answered, and audio without its end has no id to send. */
function closeOff(message: Message): Message | undefined {
  if (message.role !== 'assistant') return message
  const { tool_calls: _calls, function_call: _call, audio: _audio, ...said } = message
  return isSaid(said['content']) || isSaid(said['refusal']) ? said : undefined
}

const isSaid = (text: unknown): boolean =>
  (typeof text === 'string' || Array.isArray(text)) && text.length > 0
