import { expect } from 'chai'
import { assert, property, string, uint8Array } from 'fast-check'
import { imageTokens, sizeOf } from '../../lib/window/images.js'

const url = (type: string, bytes: readonly number[]): string =>
  `data:image/${type};base64,${Buffer.from(bytes).toString('base64')}`

const zeros = (count: number): number[] => Array.from({ length: count }, () => 0)

const jpeg = (frame: number): number[] => {
  const start = [0xff, 0xd8]
  const application = [0xff, 0xe0, 0x00, 0x10, ...zeros(14)]
  const tables = [0xff, 0xc4, 0x00, 0x03, 0x07]
  const size = [0xff, frame, 0x00, 0x11, 0x08, 0x02, 0x58, 0x03, 0x20, 0x03, 0x01, 0x22, 0x00]
  return [...start, ...application, ...tables, ...size]
}

describe('images', () => {
  it('cost what the documentation of OpenAI says', () => {
    expect(imageTokens({ width: 1024, height: 1024 })).to.equal(765)
    expect(imageTokens({ width: 2048, height: 4096 })).to.equal(1105)
    expect(imageTokens({ width: 512, height: 512 })).to.equal(255)
    expect(imageTokens({ width: 4096, height: 512 })).to.equal(765)
  })

  it('tell their size in a JPEG, behind its tables', () => {
    expect(sizeOf(url('jpeg', jpeg(0xc0)))).to.deep.equal({ width: 800, height: 600 })
    expect(sizeOf(url('jpeg', jpeg(0xc2)))).to.deep.equal({ width: 800, height: 600 })
  })

  it('tell their size in a GIF', () => {
    const gif = [...Buffer.from('GIF89a'), 0x20, 0x03, 0x58, 0x02, ...zeros(20)]
    expect(sizeOf(url('gif', gif))).to.deep.equal({ width: 800, height: 600 })
  })

  it('tell none where there is nothing to read', () => {
    for (const each of [
      undefined,
      7,
      'https://example.com/a.png',
      'data:image/png',
      url('png', []),
      url('webp', [1, 2]),
    ])
      expect(sizeOf(each)).to.equal(undefined)
  })

  it('take any bytes', () => {
    assert(
      property(uint8Array({ maxLength: 200 }), string(), (bytes, text) => {
        sizeOf(url('jpeg', [0xff, 0xd8, ...bytes]))
        sizeOf(url('png', [...bytes]))
        sizeOf(`data:image/${text}`)
      }),
    )
  })
})
