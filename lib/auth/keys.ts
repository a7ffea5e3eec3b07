import { createPublicKey, createSecretKey, KeyObject, type JsonWebKey } from 'node:crypto'

import { Misconfigured } from '../model/errors.js'
import { isObject } from '../model/json.js'
import { show } from '../model/rule.js'

/** A secret shared with whoever signs the tokens: at least 32 bytes. */
export interface SecretKey {
  readonly secret: string | Uint8Array | KeyObject
}

/** The public half of the key that signs the tokens: PEM text, a JWK or a KeyObject. RSA of at least 2,048 bits, or P-256, P-384, P-521. */
export interface PublicKey {
  readonly publicKey: string | JsonWebKey | KeyObject
}

export type BearerKey = SecretKey | PublicKey

/** The names that jsonwebtoken knows; `none` is not among them. */
export type Algorithm =
  | 'HS256'
  | 'HS384'
  | 'HS512'
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'

/** A key as it verifies: built once, since jsonwebtoken needs 40 times as long with a string. */
export interface VerifyingKey {
  readonly key: KeyObject
  readonly algorithms: Algorithm[]
}

const leastSecretBytes = 32
const leastRsaBits = 2_048

const hmac: readonly Algorithm[] = ['HS256', 'HS384', 'HS512']
const rsa: readonly Algorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const rsaPss: readonly Algorithm[] = ['PS256', 'PS384', 'PS512']
const byCurve: ReadonlyMap<unknown, Algorithm> = new Map<unknown, Algorithm>([
  ['prime256v1', 'ES256'],
  ['secp384r1', 'ES384'],
  ['secp521r1', 'ES512'],
])

/** A key and every algorithm that fits it. */
export interface AbleKey {
  readonly key: KeyObject
  readonly able: readonly Algorithm[]
}

/** Builds a key, or says what is wrong with it. */
export function ableKey(given: BearerKey): AbleKey {
  const key = 'secret' in given ? secretKey(given.secret) : publicKey(given.publicKey)
  return { key, able: ableWith(key) }
}

/**
 * Each key with its algorithms pinned: those given that fit it, or the first of its family. An algorithm that fits
 * no key, and a key that no algorithm fits, are mistakes.
 */
export function pinAlgorithms(keys: readonly AbleKey[], algorithms?: readonly string[]): VerifyingKey[] {
  for (const name of algorithms ?? []) {
    if (!keys.some(({ able }) => able.some((fits) => fits === name))) throw unfit(keys[0]!, name)
  }
  return keys.map((key) => {
    const pinned =
      algorithms === undefined ? key.able.slice(0, 1) : key.able.filter((fits) => algorithms.includes(fits))
    if (pinned.length === 0) throw unfit(key, algorithms!.join(', '))
    return { key: key.key, algorithms: pinned }
  })
}

const unfit = ({ able }: AbleKey, name: string): Misconfigured =>
  new Misconfigured(`bearer: algorithms: this key verifies ${able.join(', ')}, not ${show(name)}.`)

function secretKey(given: unknown): KeyObject {
  if (typeof given === 'string' && given.includes('-----BEGIN')) {
    throw new Misconfigured('bearer: secret is a PEM key. Pass the public key as publicKey.')
  }
  const key = given instanceof KeyObject ? given : createSecretKey(secretBytes(given))
  if (key.type !== 'secret')
    throw new Misconfigured(`bearer: secret is a ${key.type} key. Pass the public key as publicKey.`)
  const bytes = key.symmetricKeySize ?? 0
  if (bytes >= leastSecretBytes) return key
  throw new Misconfigured(
    `bearer: secret must be at least ${leastSecretBytes} bytes, got ${bytes}. Make one: openssl rand -base64 48`,
  )
}

function secretBytes(given: unknown): Uint8Array {
  if (typeof given === 'string') return Buffer.from(given)
  if (given instanceof Uint8Array) return given
  throw new Misconfigured(
    `secret must be a string, bytes or a KeyObject, got ${show(given)}. Is its variable set?`,
  )
}

function publicKey(given: unknown): KeyObject {
  const key = given instanceof KeyObject ? given : readPublicKey(given)
  if (key.type === 'public') return key
  const repair =
    key.type === 'private' ? 'Pass its public half: crypto.createPublicKey(key).' : 'Pass it as secret.'
  throw new Misconfigured(`bearer: publicKey is a ${key.type} key. ${repair}`)
}

function readPublicKey(given: unknown): KeyObject {
  if (typeof given === 'string' && given.includes('PRIVATE KEY')) {
    throw new Misconfigured(
      'publicKey is a private key, which a verifier should not have. Pass its public half.',
    )
  }
  if (isObject(given) && 'd' in given) {
    throw new Misconfigured(
      'publicKey is a private JWK, which a verifier should not have. Pass its public half.',
    )
  }
  try {
    if (typeof given === 'string') return createPublicKey(given)
    if (isObject(given)) return createPublicKey({ key: given as JsonWebKey, format: 'jwk' })
  } catch (cause) {
    throw new Misconfigured(
      'bearer: publicKey is not a public key that Node can read. Pass PEM text or a JWK.',
      {
        cause,
      },
    )
  }
  throw new Misconfigured(
    `publicKey must be PEM text, a JWK or a KeyObject, got ${show(given)}. Is its variable set?`,
  )
}

function ableWith(key: KeyObject): readonly Algorithm[] {
  if (key.type === 'secret') return hmac
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa' || type === 'rsa-pss') {
    const bits = details?.modulusLength ?? 0
    if (bits < leastRsaBits)
      throw new Misconfigured(`bearer: publicKey must have at least ${leastRsaBits} bits, got ${bits}.`)
    return type === 'rsa' ? rsa : rsaPss
  }
  const curve = byCurve.get(details?.namedCurve)
  if (curve !== undefined) return [curve]
  throw new Misconfigured(
    `bearer: publicKey is of the kind ${details?.namedCurve ?? type}, which jsonwebtoken does not verify. Use RSA or P-256, P-384, P-521.`,
  )
}
