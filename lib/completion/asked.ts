import { createHash } from 'node:crypto'

import { InvalidRequest, PayloadTooLarge } from '../model/errors.js'
import {
  checkSessionId,
  checkUserId,
  isStorableKey,
  keyedSessionId,
  newSessionId,
} from '../model/identity.js'
import { canonicalJson, isShallow, type JsonObject } from '../model/json.js'
import type { Message } from '../model/message.js'
import type { SessionKey } from '../model/session.js'
import type { SessionSettings } from '../store/store.js'
import type { Format, Prompt, Question } from '../wire/format.js'
import { checkRequest, withoutControls, type BeginRequest } from './request.js'

/** A request that has been read and found in order. */
export interface Asked extends SessionKey {
  readonly request: BeginRequest
  readonly format: Format
  readonly body: JsonObject | undefined
  readonly question: Question
  readonly regenerate: boolean
  readonly create: boolean
}

export interface AskedOptions {
  readonly format: Format
  readonly maxQuestionMessages: number
  readonly maxDepth: number
}

/** The longest idempotency key, in bytes. */
const longestKey = 255

/** Read a request. Throws the error that its client should get. */
export function readAsked(request: BeginRequest, options: AskedOptions): Asked {
  checkRequest(request)
  const userId = checkUserId(request.userId)
  if (request.key !== undefined && !isStorableKey(request.key, longestKey)) {
    throw new InvalidRequest('The idempotency key must be 1 to 255 bytes of well-formed text without NUL.', {
      param: 'idempotency_key',
    })
  }
  const format = request.format ?? options.format
  const body = request.body && withoutControls(request.body)
  const regenerate = isRegenerating(request)
  const question = readQuestion(format, body ?? questionBody(request, regenerate), regenerate)
  checkSize(question, options.maxQuestionMessages)
  checkDepth(question, body, options.maxDepth)
  const isNew = request.sessionId === 'new'
  const sessionId = isNew ? newId(userId, request.key) : checkSessionId(request.sessionId)
  return {
    userId,
    sessionId,
    request,
    format,
    body,
    question,
    regenerate,
    create: isNew || request.autoCreate === true,
  }
}

function newId(userId: string, key: string | undefined): string {
  return key === undefined ? newSessionId() : keyedSessionId(userId, key)
}

function checkSize(question: Question, most: number): void {
  const count = question.system.length + question.messages.length
  if (count > most) {
    throw new PayloadTooLarge(
      `messages holds ${count} messages, at most ${most} are taken. Send only the new ones.`,
      { param: 'messages' },
    )
  }
}

/** Of all that is walked later: tools are counted, and a body under a key is fingerprinted. */
function checkDepth(question: Question, body: JsonObject = {}, maxDepth: number): void {
  for (const [param, value] of Object.entries({
    ...body,
    messages: [question.system, question.messages],
  })) {
    if (isShallow(value, maxDepth)) continue
    throw new InvalidRequest(`${param} is nested deeper than ${maxDepth} levels.`, { param })
  }
}

function messagesOf(question: BeginRequest['question']): readonly Message[] {
  if (question === undefined)
    throw new InvalidRequest('begin needs a question or a body.', { param: 'question' })
  if (typeof question === 'string') return [{ role: 'user', content: question }]
  return [question].flat()
}

function isRegenerating({ regenerate, body }: BeginRequest): boolean {
  const given = regenerate ?? body?.['regenerate'] ?? false
  if (typeof given === 'boolean') return given
  throw new InvalidRequest('regenerate must be true or false.', { param: 'regenerate' })
}

const questionBody = ({ question }: BeginRequest, regenerate: boolean): JsonObject =>
  question === undefined && regenerate ? {} : { messages: messagesOf(question) }

/** What is asked; with `regenerate` nothing need be: a stand-in is read and taken out again. */
function readQuestion(format: Format, body: JsonObject, regenerate: boolean): Question {
  const { messages = [] } = body
  if (!regenerate || !Array.isArray(messages) || messages.length > 0) return format.read(body)
  return { ...format.read({ ...body, messages: [{ role: 'user', content: '-' }] }), messages: [] }
}

/** Fields that say how the answer is to come and not which: a retry may ask for the same answer in the other shape. */
const shapeFields: ReadonlySet<string> = new Set(['stream', 'stream_options'])

export function fingerprint({ body, question, regenerate }: Asked): string {
  const asked = Object.entries(body ?? question).filter(([name]) => !shapeFields.has(name))
  return createHash('sha256')
    .update(canonicalJson([Object.fromEntries(asked), regenerate]))
    .digest('hex')
}

export const modelOf = ({ question, request }: Asked, settings: SessionSettings): string | undefined =>
  question.model ?? request.model ?? settings.model ?? undefined

/** The body to send on; the session's model where the client named none. */
export function promptBody(
  { body, format, question }: Asked,
  prompt: Prompt,
  model: string | null,
): JsonObject {
  const prompted = format.inject(body ?? {}, prompt)
  // A handler that reads the turn's messages itself gets its body as it was.
  if (prompted === body) return body
  return question.model === undefined && model !== null ? { model, ...prompted } : prompted
}

export const sessionOf = ({ userId, sessionId }: SessionKey): SessionKey => ({ userId, sessionId })

/** Ids of the tool calls that messages answer and do not bring themselves. */
export function answersOf(format: Format, messages: readonly Message[]): string[] {
  const made = new Set(messages.flatMap((message) => format.calls(message)))
  return messages.flatMap((message) => format.answers(message)).filter((id) => !made.has(id))
}
