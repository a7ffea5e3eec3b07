import type { Message } from '../model/message.js'
import type { Prompt, Repaired } from './format.js'

/**
 * Stored messages as the provider takes them: nothing where text must stand becomes empty text, an empty list of calls
 * goes, OpenAI's own models get no other provider's fields, and several pinned messages become one.
 */
export function repairChat({ system, messages }: Prompt, model: string | undefined): Repaired {
  const repaired: string[] = []
  const mends = model !== undefined && ownModel.test(model) ? mendsForOpenAi : mendsForAny
  const pinned = system.length > 1 ? joined(system) : undefined
  if (pinned) repaired.push(`joined ${system.length} system messages into one`)
  const mended = messages.map((message) => mendedBy(mends, message, repaired))
  return { system: pinned ?? system, messages: mended, repaired }
}

/** A mended message and what was done, or nothing where nothing is to be done. */
type Mend = (message: Message) => readonly [Message, string] | undefined

function mendedBy(mends: readonly Mend[], given: Message, repaired: string[]): Message {
  let mended = given
  for (const mend of mends) {
    const better = mend(mended)
    if (!better) continue
    const [message, what] = better
    mended = message
    if (!repaired.includes(what)) repaired.push(what)
  }
  return mended
}

const withContent: Mend = (message) => {
  const { role, content } = message
  const isEmpty =
    content === undefined || content === null || (Array.isArray(content) && content.length === 0)
  if (!isEmpty || (role === 'assistant' && saysOtherwise(message))) return undefined
  return [{ ...message, content: '' }, `put empty text where a message of role ${role} had none`]
}

const saysOtherwise = ({ tool_calls: calls, function_call: call, refusal, audio }: Message): boolean =>
  (Array.isArray(calls) && calls.length > 0) ||
  [call, refusal, audio].some((said) => said !== undefined && said !== null)

const withoutNoCalls: Mend = (message) => {
  if (!Array.isArray(message['tool_calls']) || message['tool_calls'].length > 0) return undefined
  const { tool_calls: _calls, ...rest } = message
  return [rest, 'left out an empty list of tool calls']
}

// A provider's prefix means that somebody else serves the model, who may want the fields back.
const ownModel = /^(?:ft:)?(?:gpt-(?!oss)|chatgpt-|o[1-9])/

const ownFields = new Set([
  'role',
  'content',
  'name',
  'refusal',
  'audio',
  'annotations',
  'tool_calls',
  'function_call',
])

const withOwnFields: Mend = (message) => {
  if (message.role !== 'assistant') return undefined
  const foreign = Object.keys(message).filter((field) => !ownFields.has(field))
  if (foreign.length === 0) return undefined
  const own = Object.entries(message).filter(([field]) => ownFields.has(field))
  return [{ role: message.role, ...Object.fromEntries(own) }, `left out ${foreign.join(', ')}`]
}

const mendsForAny = [withContent, withoutNoCalls]
const mendsForOpenAi = [...mendsForAny, withOwnFields]

/** One message with the text of all; nothing where one of them holds more than text. */
function joined(system: readonly Message[]): readonly Message[] | undefined {
  const texts = system.map(({ content }) => content)
  if (!texts.every((text) => typeof text === 'string')) return undefined
  return [{ role: system[0]!.role, content: texts.join('\n\n') }]
}
