import { LocalTokenizer } from '../../lib/window/tokenizer.js'
import { TokenCounter } from '../../lib/window/tokens.js'
import { drive, figuresOf, interleaved } from '../measure.js'
import type { Part } from './part.js'

const chinese = '会话历史被存储在数据库中，每个问题都先于回答提交。'
const code = 'for (const [index, entry] of batch.entries()) this.land(entry, rows[index]!)\n'
const english = 'The question is committed before the provider is called, so a crash never loses it. '

const sized = (text: string, bytes: number): string =>
  text
    .repeat(Math.ceil(bytes / Buffer.byteLength(text)))
    .slice(0, Math.ceil((bytes * text.length) / Buffer.byteLength(text)))

const texts = {
  '2 KB of English': sized(english, 2_048),
  '2 KB of code': sized(code, 2_048),
  '2 KB of Chinese': sized(chinese, 2_048),
  '100 KB of one letter': 'a'.repeat(102_400),
  '100 KB of spaces': ' '.repeat(102_400),
  '100 KB of random Chinese': Array.from({ length: 34_133 }, (_, n) =>
    String.fromCharCode(0x4e_00 + ((n * 7_919) % 20_000)),
  ).join(''),
}

/** What counting tokens costs; hostile text is what a naive count takes seconds for. */
export const tokens: Part = {
  name: 'tokens',
  async run(_stage, { rounds, ms }, progressOf) {
    const counter = new TokenCounter(new LocalTokenizer(), 'o200k_base')
    await counter.text('')
    const names = Object.keys(texts) as (keyof typeof texts)[]
    const progress = progressOf(rounds * names.length)
    const taken = await interleaved(names, rounds, (name, round) => {
      progress.step(`round ${round + 1}: ${name}`)
      return drive(async () => counter.text(texts[name]), { concurrency: 1, ms })
    })
    progress.end()
    const figures = [...taken].map(([name, samples]) => ({ name, cpu: figuresOf(samples).cpu }))
    return {
      title: 'Counting tokens, o200k_base',
      tables: [
        {
          title: 'one text',
          columns: ['CPU us'],
          rows: figures.map(({ name, cpu }) => ({ name, figures: [cpu] })),
        },
      ],
      goals: [],
      chart: {
        title: 'Counting tokens',
        note: 'Processor time of one text. Shorter is better.',
        groups: ['2 KB', '100 KB'].map((size) => ({
          name: size,
          unit: 'us',
          bars: figures
            .filter(({ name }) => name.startsWith(size))
            .map(({ name, cpu }) => ({ name, figure: cpu, isOurs: true })),
        })),
      },
    }
  },
}
