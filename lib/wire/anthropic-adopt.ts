import { isObject, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { Adopted } from './format.js'

/**
 * A message that chat completions wrote, as Anthropic's format says it: calls and results are blocks, a result is the user's.
 * What has no place there is left out: sound, files, and the names of speakers.
 */
export function adoptForMessages(message: Message): Adopted | undefined {
  const { role, content, name, tool_calls: calls, tool_call_id: id } = message
  if (role === 'tool') return { messages: [{ role: 'user', content: [resultOf(id, content)] }], lost: [] }
  const isForeign =
    role === 'developer' ||
    objectsIn(calls).length > 0 ||
    typeof message['refusal'] === 'string' ||
    (role === 'user' && typeof name === 'string') ||
    objectsIn(content).some(({ type }) => foreign.has(String(type)))
  if (!isForeign) return undefined
  const lost = new Set<string>()
  if (typeof name === 'string') lost.add('name')
  const said = typeof content === 'string' ? content : blocksOf(message, lost)
  const used = objectsIn(calls).map(useOf)
  const whole = used.length === 0 ? said : [...(typeof said === 'string' ? textBlock(said) : said), ...used]
  return {
    messages: [{ role: role === 'developer' ? 'system' : role, content: whole }],
    lost: [...lost],
  }
}

const foreign = new Set(['image_url', 'input_audio', 'file', 'refusal'])

const objectsIn = (list: unknown): JsonObject[] =>
  Array.isArray(list) ? list.filter((item: unknown): item is JsonObject => isObject(item)) : []

const textBlock = (text: string): JsonObject[] => (text.trim() === '' ? [] : [{ type: 'text', text }])

function blocksOf({ content, refusal }: Message, lost: Set<string>): JsonObject[] {
  if (Array.isArray(content))
    return objectsIn(content)
      .map((part) => blockOf(part, lost))
      .filter((block) => block !== undefined)
  return typeof refusal === 'string' ? textBlock(refusal) : []
}

function blockOf(part: JsonObject, lost: Set<string>): JsonObject | undefined {
  const { type, refusal, image_url: image } = part
  if (type === 'refusal') return { type: 'text', text: refusal }
  if (!foreign.has(String(type))) return part
  const source = type === 'image_url' && isObject(image) ? sourceOf(image['url']) : undefined
  if (source) return { type: 'image', source }
  lost.add(String(type))
  return undefined
}

function sourceOf(url: unknown): JsonObject | undefined {
  if (typeof url !== 'string') return undefined
  const [, media, data] = /^data:([^;,]+);base64,(.*)$/s.exec(url) ?? []
  return data === undefined ? { type: 'url', url } : { type: 'base64', media_type: media, data }
}

/** Only an object can be an input: what is none is given under a name. */
function useOf({ id, function: made, custom }: JsonObject): JsonObject {
  const { name, arguments: text, input = text } = isObject(made) ? made : isObject(custom) ? custom : {}
  const read = parsed(input)
  return { type: 'tool_use', id, name, input: isObject(read) ? read : { input } }
}

function parsed(text: unknown): unknown {
  try {
    return typeof text === 'string' && text !== '' ? JSON.parse(text) : {}
  } catch {
    return undefined
  }
}

function resultOf(id: unknown, content: unknown): JsonObject {
  const isEmpty = content === undefined || content === null || content === ''
  return { type: 'tool_result', tool_use_id: id, ...(!isEmpty && { content }) }
}
