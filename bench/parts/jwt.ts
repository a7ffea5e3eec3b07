import { randomBytes } from 'node:crypto'

import jwt from 'jsonwebtoken'
import { bearer } from 'turnlog'

import { drive, figuresOf, interleaved } from '../measure.js'
import type { Part } from './part.js'

const tokens = 1_000
const secret = randomBytes(32).toString('hex')

/** What `bearer()` costs a request: a token seen for the first time, and one that is remembered. */
export const jwtPart: Part = {
  name: 'jwt',
  async run(_stage, { rounds, ms }, progressOf) {
    const headers = Array.from({ length: tokens }, (_, n) => ({
      headers: { authorization: `Bearer ${jwt.sign({ sub: `user-${n}` }, secret, { expiresIn: '1h' })}` },
    }))
    const warm = bearer({ secret })
    for (const each of headers) await warm(each)
    // A new verifier for each pass over the tokens: it remembers none of them.
    let cold = bearer({ secret })
    const subjects = {
      'remembered token': (_: number, n: number) => warm(headers[n % tokens]!),
      'new token': (_: number, n: number) => {
        if (n % tokens === 0) cold = bearer({ secret })
        return cold(headers[n % tokens]!)
      },
      'jsonwebtoken with the secret as text': async (_: number, n: number) =>
        jwt.verify(headers[n % tokens]!.headers.authorization.slice('Bearer '.length), secret),
    }
    const names = Object.keys(subjects) as (keyof typeof subjects)[]
    const progress = progressOf(rounds * names.length)
    const taken = await interleaved(names, rounds, (name, round) => {
      progress.step(`round ${round + 1}: ${name}`)
      return drive(subjects[name], { concurrency: 1, ms })
    })
    progress.end()
    const figures = [...taken].map(([name, samples]) => ({ name, cpu: figuresOf(samples).cpu }))
    return {
      title: 'bearer(): who sent a request',
      tables: [
        {
          title: `HS256, ${tokens} tokens`,
          columns: ['CPU us/request'],
          rows: figures.map(({ name, cpu }) => ({ name, figures: [cpu] })),
        },
      ],
      goals: [],
      chart: {
        title: 'Verifying a bearer token',
        note: 'Shorter is better.',
        groups: [
          {
            name: 'one request',
            unit: 'us',
            bars: figures.map(({ name, cpu }) => ({ name, figure: cpu, isOurs: !name.startsWith('json') })),
          },
        ],
      },
    }
  },
}
