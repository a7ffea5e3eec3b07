import { InvalidRequest } from '../model/errors.js'
import { isObject } from '../model/json.js'
import type { Message } from '../model/message.js'

/** The messages of a body, as they were parsed. Throws `InvalidRequest` that names the first wrong one and never its content. */
export function readMessages(messages: unknown, speakers: string): readonly Message[] {
  if (!Array.isArray(messages) || messages.length === 0) {
    const got = Array.isArray(messages) ? 'an empty array' : kindOf(messages)
    const repair = 'Send an array such as [{"role": "user", "content": "Hello"}].'
    throw new InvalidRequest(`messages must be a non-empty array, got ${got}. ${repair}`, {
      param: 'messages',
    })
  }
  for (const [at, message] of messages.entries()) checkMessage(message, at, speakers)
  return messages as readonly Message[]
}

function checkMessage(message: unknown, at: number, speakers: string): void {
  if (!isObject(message)) {
    const repair = 'Each message is an object such as {"role": "user", "content": "Hello"}.'
    throw new InvalidRequest(`messages[${at}] must be an object, got ${kindOf(message)}. ${repair}`, {
      param: `messages[${at}]`,
    })
  }
  const { role } = message
  if (typeof role === 'string' && role !== '') return
  const got = role === '' ? 'an empty string' : kindOf(role)
  throw new InvalidRequest(
    `messages[${at}].role must be a string, got ${got}. Say who speaks: ${speakers}.`,
    {
      param: `messages[${at}].role`,
    },
  )
}

/** What a value is, for an error that may not show it. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** A positive whole number; anything else is the provider's to refuse. */
export const wholeNumber = (value: unknown): number | undefined =>
  Number.isInteger(value) && (value as number) > 0 ? (value as number) : undefined
