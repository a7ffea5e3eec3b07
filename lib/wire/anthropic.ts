import { InvalidRequest, type ErrorBody } from '../model/errors.js'
import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import { adoptForMessages } from './anthropic-adopt.js'
import { blockIds, MessageReader } from './anthropic-answer.js'
import { repairMessages } from './anthropic-repair.js'
import { replayMessage } from './anthropic-replay.js'
import type { Format, Prompt, Question } from './format.js'
import { kindOf, readMessages, wholeNumber } from './messages.js'

/** Anthropic's messages. An answer is stored with the fields that stand beside its content, and sent back without them. */
export const anthropicMessages: Format = {
  name: 'anthropic-messages',
  framing: undefined,
  read,
  inject,
  reader: () => new MessageReader(),
  calls: callsOf,
  answers: answersOf,
  closeOff,
  adopt: adoptForMessages,
  repair: repairMessages,
  promptTokens,
  replay: replayMessage,
  failure,
}

function read(body: JsonObject): Question {
  const messages = readMessages(body['messages'], '"user" or "assistant"')
  const { model, tools } = body
  const outputTokens = wholeNumber(body['max_tokens'])
  return {
    system: systemOf(body['system']),
    messages,
    stream: body['stream'] === true,
    ...(typeof model === 'string' && { model }),
    ...(outputTokens !== undefined && { outputTokens }),
    ...(Array.isArray(tools) && { tools }),
  }
}

function failure({ error }: ErrorBody): string {
  const data = { type: 'error', error: { type: 'api_error', message: error.message } }
  return `event: error\ndata: ${JSON.stringify(data)}\n\n`
}

/** The body's system field as the one message that holds its text or its blocks. */
function systemOf(system: unknown): readonly Message[] {
  if (system === undefined || system === null) return []
  if (typeof system === 'string' || Array.isArray(system)) {
    return system.length === 0 ? [] : [{ role: 'system', content: system }]
  }
  const repair = 'Send the text, or blocks such as [{"type": "text", "text": "Be brief."}].'
  throw new InvalidRequest(`system must be a string or an array, got ${kindOf(system)}. ${repair}`, {
    param: 'system',
  })
}

function inject(body: JsonObject, { system, messages }: Prompt): JsonObject {
  const { system: _own, ...rest } = body
  const pinned =
    system.length === 1 ? system[0]!['content'] : system.flatMap(({ content }) => blocksOf(content))
  return { ...rest, ...(system.length > 0 && { system: pinned }), messages: messages.map(asSent) }
}

const blocksOf = (content: unknown): readonly unknown[] =>
  Array.isArray(content) ? content : [{ type: 'text', text: content }]

/** Anthropic refuses a message with fields of an answer, such as the stop sequence. */
const asSent = (message: Message): Message =>
  message.role === 'assistant' ? { role: message.role, content: message['content'] } : message

/** What was read from or written to the prompt cache is counted apart. */
function promptTokens(usage: JsonObject): number | undefined {
  const { input_tokens: input, cache_read_input_tokens: read, cache_creation_input_tokens: made } = usage
  const tokens = wholeNumber(input)
  return tokens === undefined ? undefined : tokens + (wholeNumber(read) ?? 0) + (wholeNumber(made) ?? 0)
}

function callsOf({ role, content }: Message): readonly string[] {
  return role === 'assistant' ? blockIds(content, 'tool_use', 'id') : []
}

function answersOf({ role, content }: Message): readonly string[] {
  return role === 'user' ? blockIds(content, 'tool_result', 'tool_use_id') : []
}

/**
 * Calls that were cut off can never be answered, thinking without its signature is refused, and a text may not be
 * empty. What a server's own tool found stays with the call that asked for it.
 */
function closeOff(message: Message): Message | undefined {
  const { role, content } = message
  if (role !== 'assistant') return message
  if (!Array.isArray(content)) return typeof content === 'string' && content !== '' ? message : undefined
  const found = new Set(content.map((block: unknown) => (isObject(block) ? block['tool_use_id'] : undefined)))
  const said = content.filter((block: unknown) => isObject(block) && isSaid(block, found))
  return said.some(isText) ? { ...message, content: said } : undefined
}

const isText = (block: unknown): boolean => isObject(block) && block['type'] === 'text'

function isSaid({ type, text, id }: JsonObject, found: ReadonlySet<unknown>): boolean {
  if (type === 'text') return typeof text === 'string' && text.trim() !== ''
  if (type === 'server_tool_use' || type === 'mcp_tool_use') return found.has(id)
  return type !== 'tool_use' && type !== 'thinking' && type !== 'redacted_thinking'
}
