/** The size of an image in pixels. */
export interface ImageSize {
  readonly width: number
  readonly height: number
}

/**
 * Tokens of an image in full detail, as OpenAI counts for gpt-4o and 4.1: fitted into 2,048 by 2,048, the shorter side
 * brought down to 768, then 170 for each tile of 512 by 512, and 85.
 */
export function imageTokens({ width, height }: ImageSize): number {
  const fit = Math.min(1, 2048 / Math.max(width, height))
  const scale = Math.min(fit, 768 / Math.min(width, height))
  return 85 + 170 * Math.ceil((width * scale) / 512) * Math.ceil((height * scale) / 512)
}

// A picture of its own may stand before the size in a JPEG; 64 KB reach behind it.
const headLength = 88_000

/** The size that the head of a `data:` URL tells: PNG, JPEG and GIF. `undefined` for anything else. */
export function sizeOf(url: unknown): ImageSize | undefined {
  if (typeof url !== 'string' || !url.startsWith('data:image/')) return undefined
  const comma = url.slice(0, 100).indexOf(',')
  return comma < 0 ? undefined : sizeOfData(url.slice(comma + 1, comma + 1 + headLength))
}

/** The size that the head of an image in base64 tells; what comes after the head is not read. */
export function sizeOfData(data: unknown): ImageSize | undefined {
  if (typeof data !== 'string') return undefined
  const size = readSize(Buffer.from(data.slice(0, headLength), 'base64'))
  return size && size.width > 0 && size.height > 0 ? size : undefined
}

function readSize(head: Buffer): ImageSize | undefined {
  if (head.length < 24) return undefined
  if (head.toString('latin1', 1, 4) === 'PNG')
    return { width: head.readUInt32BE(16), height: head.readUInt32BE(20) }
  if (head.toString('latin1', 0, 3) === 'GIF')
    return { width: head.readUInt16LE(6), height: head.readUInt16LE(8) }
  return head.readUInt16BE(0) === 0xff_d8 ? readJpeg(head) : undefined
}

/** A JPEG is a row of segments; the size stands in the one that starts the frame. */
function readJpeg(head: Buffer): ImageSize | undefined {
  for (let at = 2; at + 9 <= head.length; at += 2 + head.readUInt16BE(at + 2)) {
    const marker = head[at + 1]!
    if (head[at] !== 0xff) return undefined
    if (isFrame(marker)) return { width: head.readUInt16BE(at + 7), height: head.readUInt16BE(at + 5) }
  }
  return undefined
}

/** C0 to CF start a frame, but for those that hold tables. */
const isFrame = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
