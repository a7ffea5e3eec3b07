import { createHash } from 'node:crypto'

import type { Jwt } from 'jsonwebtoken'
import { LRUCache } from 'lru-cache'

import { Misconfigured, Unauthorized } from '../model/errors.js'
import { checkUserId } from '../model/identity.js'
import { isObject, type JsonObject } from '../model/json.js'
import { anything, checkFields, integer, isStorableText, type Rule } from '../model/rule.js'
import {
  ableKey,
  pinAlgorithms,
  type AbleKey,
  type Algorithm,
  type BearerKey,
  type PublicKey,
  type SecretKey,
  type VerifyingKey,
} from './keys.js'

/** Anything that carries a request's headers: Express's and Node's `req`, Koa's `ctx` and `ctx.request`. */
export interface WithHeaders {
  readonly headers: { readonly authorization?: string | undefined }
}

/** The user's id, the `sub` of a verified token. Rejects with `Unauthorized`, whose `challenge` is the `WWW-Authenticate` value. */
export type BearerUser = (from: WithHeaders) => Promise<string>

/** Exactly one of `secret`, `publicKey` and `keys`. */
export interface BearerOptions extends Partial<SecretKey>, Partial<PublicKey> {
  /** Keys by the `kid` of a token's header, for rotation: all secrets or all public keys. */
  readonly keys?: Readonly<Record<string, BearerKey>>
  /** The algorithms accepted. Default: HS256 for a secret, RS256 for RSA, the curve's own for EC. Never `none`. */
  readonly algorithms?: readonly Algorithm[]
  /** The `iss` that a token must carry, or several of which it must carry one. Default: not looked at. */
  readonly issuer?: string | readonly string[]
  /** The `aud` that a token must be meant for, or several of which one is enough. Default: not looked at. */
  readonly audience?: string | readonly string[]
  /** Seconds that the signer's clock may differ, 0 to 60. Default 0. */
  readonly clockToleranceSeconds?: number
}

interface Verified {
  readonly user: string
  /** The token's `exp`: seconds since 1970. */
  readonly expires: number
}

/** RFC 7235 token68, cut to what a signed JWT is; the scheme's name is in any case. */
const bearerToken = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i

const longestTokenBytes = 8_192

/** Verifying costs 20 to 180 µs, remembering 3: enough for the users that are active at once, about 300 KB. */
const mostRemembered = 2_000

/**
 * Who sent a request, by its bearer token (a JWT with `exp` and `sub`).
 *
 *     const userId = bearer({ secret: process.env.JWT_SECRET })
 *     app.use('/chat/sessions', sessionRoutes(turnlog, { userId }))
 */
export function bearer(options: BearerOptions): BearerUser {
  const { keyFor, verifyOptions, tolerance } = parse(options)
  const remembered = new LRUCache<string, Verified>({ max: mostRemembered })
  // jsonwebtoken takes 40 ms to load: beside the host's start, not before it.
  const loading = import('jsonwebtoken')
  loading.catch(() => undefined)

  const live = ({ user, expires }: Verified): string => {
    if (Math.floor(Date.now() / 1000) >= expires + tolerance)
      throw refused('The token has expired. Get a new one.')
    return user
  }

  return async function bearerUser(from) {
    const token = readToken(from)
    const hash = createHash('sha256').update(token).digest('base64')
    const known = remembered.get(hash)
    if (known !== undefined) return live(known)

    const { default: jwt } = await loading
    const header = readHeader(token)
    const { key, algorithms } = keyFor(header)
    const verified = readClaims(
      verify(() => jwt.verify(token, key, { ...verifyOptions, algorithms, complete: true })),
    )
    remembered.set(hash, verified)
    return verified.user
  }
}

function readToken({ headers }: WithHeaders): string {
  const { authorization } = headers
  if (typeof authorization !== 'string' || authorization.trim() === '') {
    throw new Unauthorized('Send a token: Authorization: Bearer <token>.')
  }
  if (authorization.length > longestTokenBytes + 'Bearer '.length)
    throw refused('The token is longer than 8 KiB.')
  const token = bearerToken.exec(authorization.trim())?.[1]
  if (token === undefined) throw refused('The Authorization header must be: Bearer <token>, a signed JWT.')
  return token
}

function readHeader(token: string): JsonObject {
  const header = parseHeader(token.slice(0, token.indexOf('.')))
  if (!isObject(header)) throw refused()
  // RFC 7515: a verifier that does not understand what `crit` names must refuse. We understand none.
  if ('crit' in header) throw refused()
  return header
}

function parseHeader(encoded: string): unknown {
  try {
    return JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
}

function verify(verified: () => Jwt): Jwt {
  try {
    return verified()
  } catch (error) {
    throw refused(reasonOf(error))
  }
}

function reasonOf(error: unknown): string | undefined {
  const { name, message } = error as Error
  if (name === 'TokenExpiredError') return 'The token has expired. Get a new one.'
  if (name === 'NotBeforeError') return 'The token is not valid yet. Are the clocks right?'
  if (message.startsWith('jwt audience invalid')) return 'The token is meant for another audience.'
  if (message.startsWith('jwt issuer invalid'))
    return 'The token comes from an issuer that is not accepted here.'
  return undefined
}

function readClaims({ payload }: Jwt): Verified {
  if (!isObject(payload)) throw refused()
  const { exp, sub } = payload
  if (typeof exp !== 'number' || !Number.isFinite(exp))
    throw refused('The token has no exp: it would never expire.')
  if (typeof sub !== 'string' || sub === '') throw refused('The token has no sub: it names no user.')
  try {
    return { user: checkUserId(sub), expires: exp }
  } catch {
    throw refused('The sub of the token cannot be a user id: at most 255 bytes without NUL.')
  }
}

/** 401 with the challenge of RFC 6750. The reason is plain ASCII without quotes, as the header needs it. */
function refused(reason = 'The token is not valid.'): Unauthorized {
  return new Unauthorized(reason, {
    challenge: `Bearer error="invalid_token", error_description="${reason}"`,
  })
}

const names: Rule = {
  must: 'a non-empty string or an array of them',
  holds: (value) => {
    const all: unknown[] = Array.isArray(value) ? value : [value]
    return all.length > 0 && all.every((name) => typeof name === 'string' && isStorableText(name, 1_024))
  },
}

const optionRules: Record<keyof BearerOptions, Rule> = {
  secret: anything,
  publicKey: anything,
  keys: {
    must: 'an object of keys by kid',
    holds: (value) => isObject(value) && Object.keys(value).length > 0,
  },
  algorithms: {
    must: 'an array of at least one algorithm, such as ["RS256"]',
    holds: (value) => Array.isArray(value) && value.length > 0,
  },
  issuer: names,
  audience: names,
  clockToleranceSeconds: integer(0, 60),
}

function parse(options: BearerOptions) {
  checkFields(options, optionRules, (message) => new Misconfigured(`bearer: ${message}`))
  const { issuer, audience, clockToleranceSeconds: tolerance = 0 } = options
  return {
    tolerance,
    keyFor: keyFinder(options),
    verifyOptions: {
      clockTolerance: tolerance,
      ...(issuer !== undefined && { issuer: several(issuer) }),
      ...(audience !== undefined && { audience: several(audience) }),
    },
  }
}

/** jsonwebtoken's types ask for at least one, which the rules have seen to. */
const several = (value: string | readonly string[]): [string, ...string[]] =>
  (typeof value === 'string' ? [value] : [...value]) as [string, ...string[]]

function keyFinder(options: BearerOptions): (header: JsonObject) => VerifyingKey {
  const { secret, publicKey, keys, algorithms } = options
  const named = Object.keys(options).filter((name) => keyOptions.has(name))
  const given = named.filter((name) => options[name as keyof BearerOptions] !== undefined)
  // All of them undefined: go on with the first, whose error asks whether its variable is set.
  const [one, ...others] = given.length > 0 ? given : named.slice(0, 1)
  if (one === undefined || others.length > 0) {
    throw new Misconfigured(
      `bearer: give one of secret, publicKey and keys, got ${given.join(' and ') || 'none'}.`,
    )
  }
  if (keys !== undefined) return keyByKid(keys, algorithms)
  const [only] = pinAlgorithms(
    [ableKey(one === 'secret' ? { secret: secret! } : { publicKey: publicKey! })],
    algorithms,
  )
  return () => only!
}

const keyOptions: ReadonlySet<string> = new Set(['secret', 'publicKey', 'keys'])

function keyByKid(
  keys: Readonly<Record<string, BearerKey>>,
  algorithms?: readonly Algorithm[],
): (header: JsonObject) => VerifyingKey {
  const built = Object.entries(keys).map(([kid, key]) => ableKeyOf(kid, key))
  if (new Set(built.map(({ key }) => key.type)).size > 1) {
    throw new Misconfigured('bearer: keys are all secrets or all public keys, never both.')
  }
  const pinned = pinAlgorithms(built, algorithms)
  const byKid = new Map(Object.keys(keys).map((kid, index) => [kid, pinned[index]!]))
  return ({ kid }) => {
    const key = typeof kid === 'string' ? byKid.get(kid) : undefined
    if (key === undefined) throw refused('The token is signed with a key that is not known here.')
    return key
  }
}

function ableKeyOf(kid: string, key: BearerKey): AbleKey {
  const { secret, publicKey } = optionRules
  checkFields(key, { secret, publicKey }, (message) => new Misconfigured(`bearer: keys.${kid}: ${message}`))
  if (Object.keys(key).length === 1) return ableKey(key)
  throw new Misconfigured(`bearer: keys.${kid} must hold either secret or publicKey.`)
}
