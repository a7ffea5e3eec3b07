import { isObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { Prompt, Repaired } from './format.js'

/**
 * Stored messages as Anthropic takes them: text may not be empty, thinking needs its signature, and what says nothing then
 * goes whole, since turns of one role that follow each other are taken as one.
 */
export function repairMessages({ system, messages }: Prompt): Repaired {
  const repaired = new Set<string>()
  const sent = messages.flatMap((message) => {
    const mended = withoutEmpty(message, repaired)
    if (!mended) repaired.add(`left out a message of role ${message.role} that says nothing`)
    return mended ?? []
  })
  const pinned = system.flatMap((message) => withoutEmpty(message, repaired) ?? [])
  return { system: pinned, messages: sent, repaired: [...repaired] }
}

function withoutEmpty(message: Message, repaired: Set<string>): Message | undefined {
  const { content } = message
  if (typeof content === 'string') return content.trim() === '' ? undefined : message
  if (!Array.isArray(content)) return undefined
  const kept = content.filter((block: unknown) => {
    const fault = faultOf(block)
    if (fault !== undefined) repaired.add(fault)
    return fault === undefined
  })
  if (kept.length === content.length) return message
  return kept.length === 0 ? undefined : { ...message, content: kept }
}

function faultOf(block: unknown): string | undefined {
  if (!isObject(block)) return undefined
  const { type, text, signature } = block
  if (type === 'text' && typeof text === 'string' && text.trim() === '') return 'left out empty text'
  const isSigned = typeof signature === 'string' && signature !== ''
  return type === 'thinking' && !isSigned ? 'left out thinking without its signature' : undefined
}
