import * as zlib from 'node:zlib'

/** Turns encoded bytes into plain ones beside the answer; the encoded bytes are what the client gets. */
export interface Decoder {
  write(bytes: Buffer): void
  /** Resolves when everything that was written has been decoded. Damaged input ends the decoding and is no error. */
  end(): Promise<void>
}

type ZlibStream = zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress

/** Node has it from 22.15 on, and its flush constant with it. */
const { createZstdDecompress } = zlib as { createZstdDecompress?: (options: object) => ZlibStream }
const { ZSTD_e_flush } = zlib.constants as { ZSTD_e_flush?: number }

/** Streams end where they are cut, so that what came before is decoded. */
const zlibOptions = { finishFlush: zlib.constants.Z_SYNC_FLUSH, flush: zlib.constants.Z_SYNC_FLUSH }
const brotliOptions = {
  flush: zlib.constants.BROTLI_OPERATION_FLUSH,
  finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH,
}

const streams: { readonly [encoding: string]: (() => ZlibStream) | undefined } = {
  gzip: () => zlib.createGunzip(zlibOptions),
  'x-gzip': () => zlib.createGunzip(zlibOptions),
  deflate: () => zlib.createInflate(zlibOptions),
  br: () => zlib.createBrotliDecompress(brotliOptions),
  zstd:
    createZstdDecompress && (() => createZstdDecompress({ flush: ZSTD_e_flush, finishFlush: ZSTD_e_flush })),
}

/** A decoder for a content encoding; nothing when it is not known. */
export function decoderFor(encoding: string, onPlain: (bytes: Buffer) => void): Decoder | undefined {
  const stream = Object.hasOwn(streams, encoding) ? streams[encoding]?.() : undefined
  if (!stream) return undefined
  const done = new Promise<void>((resolve) => {
    stream
      .once('end', resolve)
      .once('error', () => resolve())
      .once('close', resolve)
  })
  stream.on('data', onPlain)
  return {
    write: (bytes) => void (stream.writable && stream.write(bytes)),
    end: () => {
      if (stream.writable) stream.end()
      return done
    },
  }
}
