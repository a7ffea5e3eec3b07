import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { Adopted } from './format.js'

/**
 * A message that Anthropic's format wrote, as chat completions say it: calls beside the text, every result a message of its own
 * before what else the user said. What has no place there is left out: thinking, and what a server's own tools did.
 */
export function adoptForChat(message: Message): Adopted | undefined {
  const { role } = message
  // Neither is ever a field of Anthropic's: this was said in chat completions, whatever its blocks are called.
  if (message['tool_calls'] !== undefined || message['tool_call_id'] !== undefined) return undefined
  const content = blocksOf(message.content)
  // Every answer of Anthropic's is stored with the stop sequence that it names.
  if (!content.some(isForeign) && message['stop_sequence'] === undefined) return undefined
  const lost = new Set<string>()
  const said = content.map((block) => partOf(block, role, lost)).filter((part) => part !== undefined)
  if (role !== 'user') return { messages: [{ role, ...saidBy(said), ...callsIn(content) }], lost: [...lost] }
  const results = content.filter(({ type }) => type === 'tool_result').map((block) => resultOf(block, lost))
  const rest = said.length > 0 || results.length === 0 ? [{ role, ...saidBy(said) }] : []
  return { messages: [...results, ...rest], lost: [...lost] }
}

const blocksOf = (content: unknown): JsonObject[] =>
  Array.isArray(content)
    ? content.filter((block: unknown): block is JsonObject => isObject(block))
    : [{ type: 'text', text: content }]

const paired = new Set(['tool_use', 'tool_result'])

const lostTypes = new Set([
  'redacted_thinking',
  'document',
  'search_result',
  'server_tool_use',
  'web_search_tool_result',
  'container_upload',
])

/** What Anthropic alone writes: whatever else other providers of this format put into a message is theirs, as thinking that is a list. */
const isForeign = ({ type, source, citations, thinking }: JsonObject): boolean =>
  paired.has(String(type)) ||
  lostTypes.has(String(type)) ||
  (type === 'thinking' && typeof thinking === 'string') ||
  (type === 'image' && isObject(source)) ||
  (type === 'text' && citations !== undefined)

function partOf(block: JsonObject, role: string, lost: Set<string>): JsonObject | undefined {
  const { type, text } = block
  if (type === 'text') return { type, text }
  if (!isForeign(block)) return block
  if (paired.has(String(type))) return undefined
  const url = type === 'image' && role === 'user' ? urlOf(block['source']) : undefined
  if (url !== undefined) return { type: 'image_url', image_url: { url } }
  lost.add(String(type))
  return undefined
}

function urlOf(source: unknown): string | undefined {
  if (!isObject(source)) return undefined
  const { type, url, media_type: media, data } = source
  if (type === 'url' && typeof url === 'string') return url
  return typeof data === 'string' ? `data:${String(media)};base64,${data}` : undefined
}

/** One text is a string, as most providers know it. */
function saidBy(parts: readonly JsonObject[]): { content: unknown } {
  const [only, ...others] = parts
  if (!only) return { content: null }
  return { content: others.length === 0 && only['type'] === 'text' ? only['text'] : parts }
}

function callsIn(content: readonly JsonObject[]): { tool_calls?: readonly JsonObject[] } {
  const calls = content.filter(({ type }) => type === 'tool_use')
  if (calls.length === 0) return {}
  return {
    tool_calls: calls.map(({ id, name, input }) => ({
      id,
      type: 'function',
      function: { name, arguments: JSON.stringify(input ?? {}) },
    })),
  }
}

function resultOf({ tool_use_id: id, content }: JsonObject, lost: Set<string>): Message {
  if (!Array.isArray(content)) return { role: 'tool', tool_call_id: id, content: content ?? '' }
  const parts = blocksOf(content)
    .map((block) => partOf(block, 'tool', lost))
    .filter((part) => part !== undefined)
  return { role: 'tool', tool_call_id: id, content: parts.length === 0 ? '' : saidBy(parts).content }
}
