import type { Ajv, ErrorObject, SchemaObject, ValidateFunction } from 'ajv'

import { InvalidRequest } from '../model/errors.js'
import { sessionIdPattern } from '../model/identity.js'
import type { PageRequest } from '../model/page.js'
import { hasUnstorable, mustBe, unknownField } from '../model/rule.js'
import { longestName, longestTtlSeconds, mostHistoryMessages } from '../sessions/limits.js'
import type { SessionBody } from './representation.js'

// `must` completes the sentence "ttl_seconds must be …"; ajv passes it through to the error.

const nullableText = {
  type: 'string',
  nullable: true,
  minLength: 1,
  maxLength: longestName,
  format: 'storable',
  must: `a string of 1 to ${longestName} characters without NUL or lone surrogates, or null`,
}

const integer = (minimum: number, maximum: number) => ({
  type: 'integer',
  minimum,
  maximum,
  must: `an integer from ${minimum} to ${maximum}`,
})

const lifetime = integer(1, longestTtlSeconds)

const changeable = {
  session_name: nullableText,
  model: nullableText,
  max_history_messages: integer(1, mostHistoryMessages),
  metadata: { type: 'object', must: 'a JSON object' },
  ttl_seconds: { ...lifetime, nullable: true, must: `${lifetime.must}, or null` },
}

const objectOf = (properties: Record<string, SchemaObject>) => ({
  type: 'object',
  additionalProperties: false,
  must: 'a JSON object',
  properties,
})

const sessionId = {
  type: 'string',
  pattern: sessionIdPattern.source,
  must: '1 to 128 of the characters A-Z a-z 0-9 . _ ~ -',
}

/** Ranges are the sessions' own, which the host may set: here stand names and types. */
const wholeNumber = { type: 'integer', minimum: 0, must: 'a whole number' }
const cursor = { type: 'string', minLength: 1, must: 'the next_cursor of an earlier page' }

const sessionPage = { limit: wholeNumber, offset: wholeNumber, after: cursor }
const messagePage = {
  ...sessionPage,
  before: cursor,
  order: { type: 'string', enum: ['asc', 'desc'], must: '"asc" or "desc"' },
  include: { type: 'string', enum: ['superseded'], must: '"superseded"' },
}

const forkable = {
  until: { type: 'string', must: 'the id of a message' },
  session_name: { ...nullableText, nullable: false, must: nullableText.must.replace(', or null', '') },
}

/** Fields that are read and never written: a client that sends back what it got needs another repair than one that slipped. */
const readOnly = new Set([
  'session_id',
  'message_count',
  'created_at',
  'updated_at',
  'last_message_at',
  'expires_at',
])

/** Returns the input when it keeps to the schema; throws `InvalidRequest` that names the field and the repair. */
export type Check<Checked> = (input: unknown) => Checked

export interface Checks {
  readonly create: Check<SessionBody>
  readonly change: Check<SessionBody>
  readonly sessionPage: Check<Partial<PageRequest>>
  readonly messagePage: Check<Partial<PageRequest> & { readonly include?: 'superseded' }>
  readonly fork: Check<ForkBody>
}

/** What a body may hold when a session is forked. */
export interface ForkBody {
  readonly until?: string
  readonly session_name?: string
}

/** Compiles the schemas, once for each `createRoutes`. */
export function loadChecks(): Promise<Checks> {
  // ajv takes 50 ms of processor time to load: beside the host's start, not before it.
  const loading = import('ajv').then(({ Ajv }) =>
    checksOf(new Ajv({ strict: true, verbose: true, messages: false })),
  )
  loading.catch(() => undefined)
  return loading
}

function checksOf(ajv: Ajv): Checks {
  ajv.addVocabulary(['must'])
  ajv.addFormat('storable', (value: string) => !hasUnstorable(value))
  const body = <Body = SessionBody>(properties: Record<string, SchemaObject>) =>
    checkWith<Body>(ajv.compile(objectOf(properties)), { whole: 'The body', kind: 'field' })
  const query = (properties: Record<string, SchemaObject>) =>
    checkWith<Partial<PageRequest>>(ajv.compile(objectOf(properties)), {
      whole: 'The query',
      kind: 'query parameter',
    })
  return {
    create: body({ session_id: sessionId, ...changeable }),
    change: body(changeable),
    fork: body<ForkBody>(forkable),
    sessionPage: query(sessionPage),
    messagePage: query(messagePage),
  }
}

interface Words {
  /** What the whole input is called. */
  readonly whole: string
  /** What one entry of it is called. */
  readonly kind: string
}

function checkWith<Checked>(validate: ValidateFunction, words: Words): Check<Checked> {
  return (input) => {
    if (validate(input)) return input as Checked
    throw wrong(validate.errors![0]!, words)
  }
}

function wrong(error: ErrorObject, { whole, kind }: Words): InvalidRequest {
  const { keyword, params, parentSchema, data, instancePath } = error
  if (keyword === 'additionalProperties') {
    const { additionalProperty: param } = params as { additionalProperty: string }
    return new InvalidRequest(unknown(param, Object.keys(parentSchema!.properties as object), kind), {
      param: param.slice(0, 64),
    })
  }
  const param = instancePath.slice(1)
  const message = mustBe(param === '' ? whole : param, String(parentSchema!.must), data)
  return new InvalidRequest(message, param === '' ? {} : { param })
}

function unknown(name: string, known: readonly string[], kind: string): string {
  if (kind === 'field' && readOnly.has(name)) return `${name} cannot be set here. Leave it out.`
  return unknownField(name, known, kind)
}
