import { createPublicKey, createSecretKey, generateKeyPairSync } from 'node:crypto'

import { expect } from 'chai'
import jwt from 'jsonwebtoken'

import { bearer, type BearerOptions, type BearerUser } from '../../lib/auth/bearer.js'
import { Misconfigured, Unauthorized } from '../../lib/model/errors.js'
import { refusal } from '../sessions/refusal.js'
import {
  badAuthorizations,
  controlToken,
  ec,
  goodClaims,
  handMade,
  hs256,
  now,
  rsa,
  secret,
} from './tokens.js'

const withToken = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string

async function refused(user: BearerUser, authorization: string | undefined): Promise<Unauthorized> {
  const error = await refusal(() => user({ headers: { authorization } }))
  expect(error).to.be.instanceOf(Unauthorized)
  return error as Unauthorized
}

describe('bearer', () => {
  describe('names the user of a good token', () => {
    const rs256 = jwt.sign(goodClaims(), rsa.privateKey, { algorithm: 'RS256' })
    const es256 = jwt.sign(goodClaims(), ec.privateKey, { algorithm: 'ES256' })
    const accepted: [string, BearerOptions, string][] = [
      ['with a secret', { secret }, hs256()],
      ['with a secret in bytes', { secret: Buffer.from(secret) }, hs256()],
      ['with a secret as a key object', { secret: createSecretKey(Buffer.from(secret)) }, hs256()],
      [
        'with a stronger algorithm',
        { secret, algorithms: ['HS512'] },
        hs256(goodClaims(), { algorithm: 'HS512' }),
      ],
      ['with an RSA key as PEM', { publicKey: pem }, rs256],
      ['with an RSA key as JWK', { publicKey: rsa.publicKey.export({ format: 'jwk' }) }, rs256],
      ['with an RSA key object', { publicKey: rsa.publicKey }, rs256],
      [
        'with PSS',
        { publicKey: pem, algorithms: ['PS256'] },
        jwt.sign(goodClaims(), rsa.privateKey, { algorithm: 'PS256' }),
      ],
      ['with an EC key', { publicKey: ec.publicKey }, es256],
      [
        'with keys by kid',
        { keys: { old: { publicKey: pem }, new: { publicKey: ec.publicKey } } },
        jwt.sign(goodClaims(), ec.privateKey, { algorithm: 'ES256', keyid: 'new' }),
      ],
      ['of the right issuer', { secret, issuer: 'us' }, hs256({ ...goodClaims(), iss: 'us' })],
      ['of one of the issuers', { secret, issuer: ['us', 'them'] }, hs256({ ...goodClaims(), iss: 'them' })],
      [
        'for one of the audiences',
        { secret, audience: ['chat', 'mail'] },
        hs256({ ...goodClaims(), aud: ['mail'] }),
      ],
      [
        'expired within the tolerance',
        { secret, clockToleranceSeconds: 60 },
        hs256({ sub: 'ann', exp: now() - 1 }),
      ],
    ]
    for (const [name, options, token] of accepted) {
      it(name, async () => {
        const user = bearer(options)
        expect(await user(withToken(token))).to.equal('ann')
        expect(await user(withToken(token)), 'remembered').to.equal('ann')
      })
    }

    it('whatever the case of the scheme', async () => {
      expect(await bearer({ secret })({ headers: { authorization: `bEARER  ${hs256()} ` } })).to.equal('ann')
    })

    it('just below 8 KiB', async () => {
      const token = hs256({ ...goodClaims(), fill: 'x'.repeat(5_900) })
      expect(token.length).to.be.within(7_900, 8_192)
      expect(await bearer({ secret })(withToken(token))).to.equal('ann')
    })
  })

  describe('lets nobody in with', () => {
    const bad = badAuthorizations()
    const user = bearer({ secret, issuer: 'us', audience: 'chat' })

    for (const [name, authorization] of Object.entries(bad)) {
      it(name, async () => {
        const error = await refused(user, authorization)
        expect(error.status).to.equal(401)
        expect(error.challenge).to.match(/^Bearer( error="invalid_token", error_description="[ -!#-~]+")?$/)
      })
    }

    it('nothing but the token that those are made from', async () => {
      expect(await user(withToken(controlToken()))).to.equal('ann')
    })

    it('no header at all', async () => {
      expect((await refused(user, undefined)).challenge).to.equal('Bearer')
    })

    it('a header of another type', async () => {
      await refused(user, ['Bearer', hs256()] as unknown as string)
    })
  })

  it('says that a token has expired', async () => {
    const error = await refused(bearer({ secret }), `Bearer ${hs256({ sub: 'ann', exp: now() - 1 })}`)
    expect(error.message).to.equal('The token has expired. Get a new one.')
    expect(error.challenge).to.include('error="invalid_token"')
  })

  it('says what is missing when there is no token', async () => {
    expect((await refused(bearer({ secret }), undefined)).message).to.include('Authorization: Bearer <token>')
  })

  it('refuses a token signed with HMAC by the public key', async () => {
    for (const key of [pem, Buffer.from(pem), pem.trim()]) {
      await refused(
        bearer({ publicKey: pem }),
        `Bearer ${handMade({ alg: 'HS256', typ: 'JWT' }, goodClaims(), key)}`,
      )
    }
  })

  it('refuses an unknown kid, a missing one and names of the prototype', async () => {
    const user = bearer({ keys: { one: { secret } } })
    for (const kid of ['two', undefined, '', '__proto__', 'constructor', 1, ['one']]) {
      await refused(user, `Bearer ${handMade({ alg: 'HS256', kid }, goodClaims())}`)
    }
    expect(await user(withToken(handMade({ alg: 'HS256', kid: 'one' }, goodClaims())))).to.equal('ann')
  })

  describe('remembers verified tokens', () => {
    const realNow = Date.now
    afterEach(() => {
      Date.now = realNow
    })

    it('until they expire', async () => {
      const user = bearer({ secret })
      const token = hs256({ sub: 'ann', exp: now() + 60 })
      expect(await user(withToken(token))).to.equal('ann')
      Date.now = () => realNow() + 61_000
      expect((await refused(user, `Bearer ${token}`)).message).to.include('expired')
    })

    it('until the tolerance is over', async () => {
      const user = bearer({ secret, clockToleranceSeconds: 30 })
      const token = hs256({ sub: 'ann', exp: now() + 60 })
      expect(await user(withToken(token))).to.equal('ann')
      Date.now = () => realNow() + 75_000
      expect(await user(withToken(token))).to.equal('ann')
      Date.now = () => realNow() + 91_000
      await refused(user, `Bearer ${token}`)
    })

    it('each as its own', async () => {
      const user = bearer({ secret })
      const names = Array.from({ length: 2_500 }, (_, index) => `user-${index}`)
      const tokens = names.map((sub) => handMade({ alg: 'HS256' }, { sub, exp: now() + 60 }))
      for (const pass of [1, 2]) {
        const users = await Promise.all(tokens.map((token) => user(withToken(token))))
        expect(users, `pass ${pass}`).to.deep.equal(names)
      }
    })

    it('and never a refused one', async () => {
      const user = bearer({ secret })
      const token = hs256({ sub: 'ann', nbf: now() + 60, exp: now() + 120 })
      await refused(user, `Bearer ${token}`)
      await refused(user, `Bearer ${token}`)
      Date.now = () => realNow() + 61_000
      expect(await user(withToken(token))).to.equal('ann')
    })
  })

  describe('refuses at creation', () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const edwards = generateKeyPairSync('ed25519')
    const wrong: [string, unknown, string][] = [
      ['no options', undefined, 'Give an object'],
      ['no key', {}, 'give one of secret, publicKey and keys, got none'],
      ['a variable that is not set', { secret: undefined }, 'Is its variable set?'],
      ['two keys', { secret, publicKey: pem }, 'got secret and publicKey'],
      ['an unknown option', { secret, audiences: 'chat' }, 'Did you mean audience?'],
      ['a short secret', { secret: 'x'.repeat(31) }, 'at least 32 bytes, got 31'],
      ['a short secret in bytes', { secret: Buffer.alloc(31) }, 'at least 32 bytes'],
      ['a public key as the secret', { secret: pem }, 'Pass the public key as publicKey'],
      ['a public key object as the secret', { secret: rsa.publicKey }, 'secret is a public key'],
      [
        'a secret as the public key',
        { publicKey: createSecretKey(Buffer.from(secret)) },
        'Pass it as secret',
      ],
      ['a private key object', { publicKey: rsa.privateKey }, 'publicKey is a private key'],
      [
        'a private key',
        { publicKey: rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
        'private key',
      ],
      ['a private JWK', { publicKey: rsa.privateKey.export({ format: 'jwk' }) }, 'private JWK'],
      ['no PEM', { publicKey: 'hello' }, 'Pass PEM text or a JWK'],
      ['a key of 1,024 bits', { publicKey: short.publicKey }, 'at least 2048 bits'],
      ['an Edwards key', { publicKey: edwards.publicKey }, 'does not verify'],
      [
        'another curve',
        { publicKey: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey },
        'secp256k1',
      ],
      ['none', { secret, algorithms: ['none'] }, 'not "none"'],
      ['no algorithm', { secret, algorithms: [] }, 'algorithms must be an array'],
      ['RS256 for a secret', { secret, algorithms: ['RS256'] }, 'not "RS256"'],
      ['HS256 for a public key', { publicKey: pem, algorithms: ['HS256'] }, 'not "HS256"'],
      ['both families', { publicKey: pem, algorithms: ['RS256', 'HS256'] }, 'not "HS256"'],
      ['another curve algorithm', { publicKey: ec.publicKey, algorithms: ['ES384'] }, 'not "ES384"'],
      ['secrets beside public keys', { keys: { a: { secret }, b: { publicKey: pem } } }, 'never both'],
      [
        'a key that no algorithm fits',
        { keys: { a: { publicKey: pem }, b: { publicKey: ec.publicKey } }, algorithms: ['RS256'] },
        'not "RS256"',
      ],
      ['keys without a key', { keys: {} }, 'keys must be'],
      ['a key that is bare text', { keys: { a: secret } }, 'keys.a'],
      ['a tolerance above a minute', { secret, clockToleranceSeconds: 61 }, 'from 0 to 60, got 61'],
      ['an empty issuer', { secret, issuer: '' }, 'issuer must be'],
      ['an issuer that is not set in an array', { secret, issuer: [undefined] }, 'issuer must be'],
      ['a pattern as the audience', { secret, audience: /chat/ }, 'audience must be'],
    ]
    for (const [name, options, words] of wrong) {
      it(name, () => {
        expect(() => bearer(options as BearerOptions)).to.throw(Misconfigured, words)
      })
    }
  })

  it('takes a public key that Node built from a private one', async () => {
    const user = bearer({ publicKey: createPublicKey(rsa.privateKey) })
    expect(await user(withToken(jwt.sign(goodClaims(), rsa.privateKey, { algorithm: 'RS256' })))).to.equal(
      'ann',
    )
  })
})
