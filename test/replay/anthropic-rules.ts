import type { JsonObject, Message } from '../../lib/index.js'
import { isObject } from '../../lib/model/json.js'
import { limitsOf } from '../../lib/window/limits.js'
import { o200k } from '../../lib/window/o200k.js'

const parameters = new Set([
  'model',
  'messages',
  'max_tokens',
  'system',
  'stream',
  'temperature',
  'top_p',
  'top_k',
  'stop_sequences',
  'tools',
  'tool_choice',
  'thinking',
  'metadata',
])

/**
 * What Anthropic would answer to a request that it cannot take, in its own words; nothing when it takes it. Messages of one
 * role that follow each other are no fault: it takes them as one.
 */
export function messagesRefusal(body: JsonObject): string | undefined {
  const unknown = Object.keys(body).find((name) => !parameters.has(name))
  if (unknown !== undefined) return `${unknown}: Extra inputs are not permitted`
  const missing = ['max_tokens', 'messages', 'model'].find((name) => body[name] === undefined)
  if (missing !== undefined) return `${missing}: Field required`
  const messages = body['messages'] as readonly Message[]
  if (!Array.isArray(messages) || messages.length === 0) return 'messages: at least one message is required'
  const system = body['system']
  return (
    first(messages, messageFault) ??
    (system === undefined ? undefined : contentFault(system, 'system')) ??
    pairFault(joined(messages)) ??
    overflow(body)
  )
}

/** The first fault that a check finds in a list. */
function first<T>(
  list: readonly T[],
  check: (item: T, at: number) => string | undefined,
): string | undefined {
  for (const [at, item] of list.entries()) {
    const fault = check(item, at)
    if (fault !== undefined) return fault
  }
  return undefined
}

function messageFault({ role, content, ...rest }: Message, at: number): string | undefined {
  if (role === 'system')
    return 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'
  if (role !== 'user' && role !== 'assistant')
    return `messages: Unexpected role "${role}". Allowed roles are "user" or "assistant".`
  const extra = Object.keys(rest)[0]
  if (extra !== undefined) return `messages.${at}.${extra}: Extra inputs are not permitted`
  if (content === undefined || content === null) return `messages.${at}.content: Field required`
  if (content === '' || (Array.isArray(content) && content.length === 0))
    return `messages.${at}: all messages must have non-empty content except for the optional final assistant message`
  return contentFault(content, `messages.${at}`)
}

const blocks = (content: unknown): readonly JsonObject[] =>
  Array.isArray(content) ? content.filter(isObject) : [{ type: 'text', text: content }]

const contentFault = (content: unknown, place: string): string | undefined =>
  first(blocks(content), (block, at) => blockFault(block, `${place}.content.${at}`))

const known = new Set([
  'text',
  'image',
  'document',
  'search_result',
  'thinking',
  'redacted_thinking',
  'tool_use',
  'tool_result',
  'server_tool_use',
  'web_search_tool_result',
])

function blockFault({ type, text, signature }: JsonObject, place: string): string | undefined {
  if (typeof type !== 'string' || !known.has(type))
    return `${place}: Input tag '${String(type)}' found using 'type' does not match any of the expected tags`
  if (type === 'text' && text === '') return 'messages: text content blocks must be non-empty'
  if (type === 'text' && String(text).trim() === '')
    return 'messages: text content blocks must contain non-whitespace text'
  if (type === 'thinking' && typeof signature !== 'string')
    return `${place}.thinking.signature: Field required`
  return undefined
}

interface Said {
  readonly role: string
  readonly blocks: readonly JsonObject[]
}

function joined(messages: readonly Message[]): Said[] {
  const said: Said[] = []
  for (const { role, content } of messages) {
    const before = said.at(-1)
    if (before?.role !== role) said.push({ role, blocks: blocks(content) })
    else said.splice(-1, 1, { role, blocks: [...before.blocks, ...blocks(content)] })
  }
  return said
}

/** The ids of the results with which a message begins: those after other content answer nothing. */
function leadingResults({ blocks }: Said): unknown[] {
  const end = blocks.findIndex(({ type }) => type !== 'tool_result')
  return blocks.slice(0, end < 0 ? blocks.length : end).map(({ tool_use_id: id }) => id)
}

const idsOf = (said: Said | undefined, type: string, id: string): unknown[] =>
  (said?.blocks ?? []).filter((block) => block['type'] === type).map((block) => block[id])

function pairFault(messages: readonly Said[]): string | undefined {
  return first(messages, (said, at) => {
    const made = said.role === 'assistant' ? idsOf(said, 'tool_use', 'id') : []
    if (new Set(made).size < made.length) return 'messages: `tool_use` ids must be unique'
    const next = messages[at + 1]
    const answered = new Set(next ? leadingResults(next) : [])
    const open = made.filter((id) => !answered.has(id))
    if (open.length > 0)
      return `messages.${at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`
    const asked = new Set(idsOf(messages[at - 1], 'tool_use', 'id'))
    const orphan = idsOf(said, 'tool_result', 'tool_use_id').find((id) => !asked.has(id))
    if (orphan === undefined) return undefined
    return `messages.${at}.content.0: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${orphan as string}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`
  })
}

/** Texts alone are counted, and as OpenAI does: less than Anthropic counts, so that nothing is refused that it takes. */
function overflow({ model, messages, system, max_tokens: reserved }: JsonObject): string | undefined {
  const limits = typeof model === 'string' ? limitsOf(model) : undefined
  if (!limits) return undefined
  const texts = [system, ...(messages as readonly Message[]).map(({ content }) => content)]
    .flatMap(blocks)
    .map(({ text }) => (typeof text === 'string' ? text : ''))
  if (texts.join('').length < limits.context / 2) return undefined
  const tokens = texts.reduce((sum, text) => sum + o200k.encode_ordinary(text).length, 0)
  if (tokens > limits.context) return `prompt is too long: ${tokens} tokens > ${limits.context} maximum`
  if (tokens + Number(reserved) <= limits.context) return undefined
  return `input length and \`max_tokens\` exceed context limit: ${tokens} + ${Number(reserved)} > ${limits.context}, decrease input length or \`max_tokens\` and try again`
}
