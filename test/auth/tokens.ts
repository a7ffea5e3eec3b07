import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'

import jwt from 'jsonwebtoken'

export const secret = 'a secret of more than thirty-two bytes'
export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })

export const now = (): number => Math.floor(Date.now() / 1000)

export const goodClaims = (): Record<string, unknown> => ({ sub: 'ann', exp: now() + 600 })

export const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token by hand, with whatever header and payload, truly signed with HS256. */
export function handMade(header: unknown, payload: unknown, key: string | Buffer = secret): string {
  const signed = `${encode(header)}.${encode(payload)}`
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
}

export const hs256 = (claims: object = goodClaims(), options: jwt.SignOptions = {}): string =>
  jwt.sign(claims, secret, { noTimestamp: true, ...options })

const header = { alg: 'HS256', typ: 'JWT' }
const without = (claim: string) => {
  const { [claim]: _, ...rest } = goodClaims()
  return rest
}

/** What the bad tokens below are made from, by one change each: a token that is let in. */
export const controlToken = (): string => handMade(header, { ...goodClaims(), iss: 'us', aud: 'chat' })

/** Headers that must not let anybody in, where HS256, the issuer `us` and the audience `chat` are asked for. */
export function badAuthorizations(): Record<string, string> {
  const claims = { ...goodClaims(), iss: 'us', aud: 'chat' }
  const good = handMade(header, claims)
  const [head, body, signature] = good.split('.') as [string, string, string]
  const rsaPem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const tokens: Record<string, string> = {
    'no dots': 'abc',
    'one dot': `${head}.${body}`,
    'three dots': `${good}.${signature}`,
    'no signature': `${head}.${body}.`,
    'no payload': `${head}..${signature}`,
    'no header': `.${body}.${signature}`,
    'dots alone': '..',
    'a signature cut short': good.slice(0, -1),
    'a signature made longer': `${good}A`,
    'a signature of zeros': `${head}.${body}.${'A'.repeat(43)}`,
    'random bytes': [8, 40, 32].map((size) => randomBytes(size).toString('base64url')).join('.'),
    'a payload changed': `${head}.${encode({ ...claims, sub: 'bob' })}.${signature}`,
    'a header changed': `${encode({ ...header, kid: '1' })}.${body}.${signature}`,
    'a header that is no JSON': handMade('{alg:HS256}', claims),
    'a header that is null': handMade('null', claims),
    'a header that is an array': handMade('["HS256"]', claims),
    'a header that is text': handMade('"HS256"', claims),
    'a payload that is no JSON': handMade(header, 'sub=ann'),
    'a payload that is text': handMade(header, '"ann"'),
    'a payload that is null': handMade(header, 'null'),
    'a payload that is an array': handMade(header, [claims]),
    'a payload that is a number': handMade(header, '7'),
    'an empty payload': handMade(header, {}),
    'alg none, signed': handMade({ ...header, alg: 'none' }, claims),
    'alg none, no signature': `${encode({ alg: 'none' })}.${body}.`,
    'alg NONE': handMade({ ...header, alg: 'NONE' }, claims),
    'alg nOnE': handMade({ ...header, alg: 'nOnE' }, claims),
    'no alg': handMade({ typ: 'JWT' }, claims),
    'alg null': handMade({ alg: null }, claims),
    'alg an array': handMade({ alg: ['HS256'] }, claims),
    'alg in lower case': handMade({ alg: 'hs256' }, claims),
    'alg of another strength': jwt.sign(claims, secret, { algorithm: 'HS384' }),
    'alg of the strongest': jwt.sign(claims, secret, { algorithm: 'HS512' }),
    'alg RS256, signed with RSA': jwt.sign(claims, rsa.privateKey, { algorithm: 'RS256' }),
    'alg PS256, signed with RSA': jwt.sign(claims, rsa.privateKey, { algorithm: 'PS256' }),
    'alg ES256, signed with EC': jwt.sign(claims, ec.privateKey, { algorithm: 'ES256' }),
    'alg RS256 over an HMAC': handMade({ alg: 'RS256' }, claims),
    'the public key as the secret': handMade(header, claims, rsaPem),
    'another secret': handMade(header, claims, 'another secret of more than thirty-two bytes'),
    'an empty secret': handMade(header, claims, ''),
    'the secret cut short': handMade(header, claims, secret.slice(0, 32)),
    'a crit header': handMade({ ...header, crit: ['exp'] }, claims),
    'a crit header with b64': handMade({ ...header, crit: ['b64'], b64: false }, claims),
    'an embedded key': handMade({ ...header, jwk: { kty: 'oct', k: encode('mine') } }, claims, 'mine'),
    'no exp': handMade(header, { ...without('exp'), iss: 'us', aud: 'chat' }),
    'exp null': handMade(header, { ...claims, exp: null }),
    'exp as text': handMade(header, { ...claims, exp: String(now() + 600) }),
    'exp as an array': handMade(header, { ...claims, exp: [now() + 600] }),
    'exp as an object': handMade(header, { ...claims, exp: {} }),
    'exp true': handMade(header, { ...claims, exp: true }),
    'exp infinite': handMade(header, `{"sub":"ann","iss":"us","aud":"chat","exp":1e999}`),
    'exp zero': handMade(header, { ...claims, exp: 0 }),
    'exp negative': handMade(header, { ...claims, exp: -1 }),
    'exp this second': handMade(header, { ...claims, exp: now() }),
    'exp an hour ago': handMade(header, { ...claims, exp: now() - 3600 }),
    'nbf in an hour': handMade(header, { ...claims, nbf: now() + 3600 }),
    'nbf as text': handMade(header, { ...claims, nbf: 'now' }),
    'no sub': handMade(header, { ...without('sub'), iss: 'us', aud: 'chat' }),
    'sub empty': handMade(header, { ...claims, sub: '' }),
    'sub null': handMade(header, { ...claims, sub: null }),
    'sub a number': handMade(header, { ...claims, sub: 7 }),
    'sub true': handMade(header, { ...claims, sub: true }),
    'sub an array': handMade(header, { ...claims, sub: ['ann'] }),
    'sub an object': handMade(header, { ...claims, sub: { id: 'ann' } }),
    'sub with NUL': handMade(header, { ...claims, sub: 'ann\0' }),
    'sub with a lone surrogate': handMade(
      header,
      '{"sub":"\\ud800","iss":"us","aud":"chat","exp":9999999999}',
    ),
    'sub of 256 bytes': handMade(header, { ...claims, sub: 'é'.repeat(128) }),
    'sub in the prototype': handMade(
      header,
      '{"__proto__":{"sub":"ann"},"iss":"us","aud":"chat","exp":9999999999}',
    ),
    'no iss': handMade(header, { ...claims, iss: undefined }),
    'another iss': handMade(header, { ...claims, iss: 'them' }),
    'iss an array': handMade(header, { ...claims, iss: ['us'] }),
    'no aud': handMade(header, { ...claims, aud: undefined }),
    'another aud': handMade(header, { ...claims, aud: 'mail' }),
    'others in aud': handMade(header, { ...claims, aud: ['mail', 'shop'] }),
    'aud an object': handMade(header, { ...claims, aud: { chat: true } }),
    'longer than 8 KiB': handMade(header, { ...claims, fill: 'x'.repeat(8192) }),
    'ordinary base64': good.replace(/\./g, '=.'),
    'a line feed within': `${head}.\n${body}.${signature}`,
    'a comma and another': `${good}, ${good}`,
  }
  const headers: Record<string, string> = {
    'an empty header': '',
    'blanks alone': '   ',
    'the scheme alone': 'Bearer',
    'the scheme and a blank': 'Bearer ',
    'no scheme': good,
    'another scheme': `Basic ${good}`,
    'a scheme that begins alike': `Bearers ${good}`,
    'a colon after the scheme': `Bearer: ${good}`,
    'quotes around the token': `Bearer "${good}"`,
  }
  const bearers = Object.entries(tokens).map(([name, token]) => [name, `Bearer ${token}`] as const)
  return { ...Object.fromEntries(bearers), ...headers }
}
