import { expect } from 'chai'
import { MODEL_CONFIGS } from 'llm-zoo'
import { Misconfigured } from '../../lib/model/errors.js'
import { limitsOf, modelLimitsFrom } from '../../lib/window/limits.js'

const contextOf = (model: string): number | undefined => limitsOf(model)?.context

describe('model limits', () => {
  it('keep the promises: GPT-4 at 8K, GPT-3.5 at 4K and 16K, Claude at 100K and more', () => {
    expect(contextOf('gpt-4')).to.equal(8192)
    expect(contextOf('gpt-4-0613')).to.equal(8192)
    expect(contextOf('gpt-3.5-turbo-0301')).to.equal(4096)
    expect(contextOf('gpt-3.5-turbo-0613')).to.equal(4096)
    expect(contextOf('gpt-3.5-turbo')).to.equal(16_385)
    expect(contextOf('gpt-3.5-turbo-16k-0613')).to.equal(16_385)
    expect(contextOf('claude-2')).to.equal(100_000)
    expect(contextOf('claude-instant-1.2')).to.equal(100_000)
    expect(contextOf('claude-2.1')).to.equal(200_000)
    expect(contextOf('claude-3-5-sonnet-20241022')).to.equal(200_000)
    expect(contextOf('claude-opus-4-8')).to.equal(1_000_000)
  })

  it('tell input, context and output apart', () => {
    expect(limitsOf('gpt-5.1')).to.deep.equal({
      context: 400_000,
      input: 272_000,
      output: 128_000,
      encoding: 'o200k_base',
    })
  })

  it('know the encoding, and where it is an estimate', () => {
    expect(limitsOf('gpt-4')).to.include({ encoding: 'cl100k_base' })
    expect(limitsOf('gpt-4-turbo-2024-04-09')).to.include({ encoding: 'cl100k_base' })
    expect(limitsOf('gpt-4o')).to.include({ encoding: 'o200k_base' })
    expect(limitsOf('gpt-4.1')).to.include({ encoding: 'o200k_base' })
    expect(limitsOf('gpt-4o')).to.not.have.property('estimated')
    expect(limitsOf('claude-sonnet-4-5')).to.include({ encoding: 'o200k_base', estimated: true })
  })

  const alike: Record<string, readonly string[]> = {
    'gpt-4o': [
      'gpt-4o-2024-11-20',
      'openai/gpt-4o',
      'openrouter/openai/gpt-4o',
      'azure/gpt-4o',
      'GPT-4o',
      'gpt-4o:free',
    ],
    'gpt-4o-mini': ['ft:gpt-4o-mini-2024-07-18:acme::abc123', 'gpt-4o-mini-2024-07-18'],
    'gpt-3.5-turbo': ['gpt-35-turbo', 'azure/gpt-35-turbo-16k', 'ft:gpt-3.5-turbo-0125:acme:name:id'],
    'claude-3-5-sonnet': [
      'anthropic/claude-3.5-sonnet',
      'us.anthropic.claude-3-5-sonnet-20241022-v2:0',
      'anthropic.claude-3-5-sonnet-20240620-v1:0',
      'claude-3-5-sonnet@20240620',
      'claude-3-5-sonnet-latest',
    ],
    'claude-sonnet-4-5': ['claude-sonnet-4.5', 'claude-sonnet-4-5-20250929'],
    'claude-opus-4': ['claude-opus-4-20250514', 'claude-opus-4-0', 'claude-opus-4-1-20250805'],
    'gemini-2.5-pro': ['models/gemini-2.5-pro', 'google/gemini-2.5-pro-preview-05-06'],
    o1: ['o1-2024-12-17', 'openai/o1'],
  }

  for (const [name, others] of Object.entries(alike)) {
    for (const other of others) {
      it(`know ${other} as ${name}`, () => {
        expect(limitsOf(name)).to.not.equal(undefined)
        expect(limitsOf(other)).to.deep.equal(limitsOf(name))
      })
    }
  }

  const unknown = [
    '',
    'gpt',
    'gpt-4o-nano',
    'gpt-40',
    'gpt-7',
    'gpt-5.9',
    'claude',
    'claude-opus-9',
    'my-model',
    'toString',
    'ft:',
    '/',
    'o11',
  ]
  for (const name of [...unknown, 'x'.repeat(100_000)]) {
    it(`guess nothing for ${JSON.stringify(name.slice(0, 20))}`, () => {
      expect(limitsOf(name)).to.equal(undefined)
    })
  }

  it('take the own limits of the host first, as an object', () => {
    const given = {
      'gpt-4o': { context: 1000 },
      'my-model': { context: 5000, encoding: 'cl100k_base' },
    } as const
    expect(limitsOf('gpt-4o', given)).to.deep.equal({ context: 1000, encoding: 'o200k_base' })
    expect(limitsOf('openai/gpt-4o-2024-11-20', given)).to.include({ context: 1000 })
    expect(limitsOf('my-model', given)).to.deep.equal({ context: 5000, encoding: 'cl100k_base' })
    expect(limitsOf('gpt-4', given)).to.include({ context: 8192 })
    expect(limitsOf('toString', given)).to.equal(undefined)
  })

  it('take the own limits of the host first, as a function', () => {
    const given = (model: string) => (model === 'local/llama' ? { context: 4000, output: 500 } : undefined)
    expect(limitsOf('local/llama', given)).to.deep.equal({
      context: 4000,
      output: 500,
      encoding: 'o200k_base',
      estimated: true,
    })
    expect(limitsOf('gpt-4', given)).to.include({ context: 8192 })
  })

  it('read the JSON of models.dev, where the maker of a model goes before its resellers', () => {
    const limits = modelLimitsFrom({
      openai: {
        id: 'openai',
        models: { 'gpt-9': { id: 'gpt-9', limit: { context: 900, input: 700, output: 200 } } },
      },
      copilot: {
        models: { 'gpt-9': { limit: { context: 90, output: 20 } }, tts: { limit: { context: 0 } } },
      },
    })
    expect(limitsOf('gpt-9', limits)).to.include({ context: 900, input: 700, output: 200 })
    expect(limitsOf('copilot/gpt-9', limits)).to.include({ context: 90 })
    expect(limits).to.not.have.property('tts')
  })

  it('read the JSON of LiteLLM by its input tokens, not by its old max_tokens', () => {
    const limits = modelLimitsFrom({
      sample_spec: {
        max_input_tokens: 'max input tokens, if the provider specifies it',
        mode: 'one of: chat',
      },
      'gpt-9': { max_tokens: 20, max_input_tokens: 900, max_output_tokens: 20, mode: 'chat' },
      'azure/gpt-9': { max_input_tokens: 800, mode: 'responses' },
      embed: { max_input_tokens: 10, mode: 'embedding' },
    })
    expect(limits).to.deep.equal({ 'gpt-9': { context: 900, output: 20 }, 'azure/gpt-9': { context: 800 } })
  })

  it('refuse other JSON and say what to pass', () => {
    for (const json of [null, [], {}, 'x', { a: 1 }])
      expect(() => modelLimitsFrom(json)).to.throw(Misconfigured, 'models.dev')
  })

  it('agree with llm-zoo, and print where they do not', () => {
    const makers = new Set(['openai', 'anthropic', 'google', 'xai', 'deepseek'])
    const theirs = Object.values(MODEL_CONFIGS).filter(({ provider }) => makers.has(provider))
    const unknown = theirs.filter(({ fullName }) => !limitsOf(fullName)).map(({ fullName }) => fullName)
    const differing = theirs.flatMap(({ fullName, contextWindow }) => {
      const ours = contextOf(fullName)
      return ours === undefined || ours === contextWindow
        ? []
        : [`${fullName}: ${ours}, llm-zoo ${contextWindow}`]
    })
    if (unknown.length > 0) console.log(`      not in the table: ${[...new Set(unknown)].join(', ')}`)
    for (const line of new Set(differing)) console.log(`      differs: ${line}`)
    expect(theirs.length).to.be.above(80)
    expect(unknown.length).to.be.below(theirs.length / 10)
    expect(differing.length).to.be.below(theirs.length / 5)
  })
})
