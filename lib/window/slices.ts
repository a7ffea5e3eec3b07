// Tokenizers cut a text into pieces by a pattern (words, numbers, runs of signs or spaces), then merge inside
// each piece in time that grows with the square of its length: 100,000 equal letters take half a minute. So a
// text is counted in slices. They end where the pattern of cl100k_base and o200k_base starts a new piece in any
// case, which leaves the count exact; only a run that offers no such place is cut by force.

/** Bytes of a run, roughly, after which it is cut by force. A multiple of the lengths of tokens for numbers (3), letters (8), signs (64) and spaces (128), so that repeated ones count the same. */
const longestRun = 384

/** Code units of a slice, roughly: a few milliseconds of counting. */
const sliceLength = 2048

// Kinds of code units. `other` is all of which nothing is certain.
const other = 0
const letter = 1
const digit = 2
const sign = 3
const space = 4
const apostrophe = 5
const lineBreak = 6
const wideLetter = 7
const wideSign = 8

const asciiKinds = Uint8Array.from({ length: 128 }, (_, code) => asciiKind(String.fromCharCode(code)))

function asciiKind(char: string): number {
  if (/[a-z]/i.test(char)) return letter
  if (/[0-9]/.test(char)) return digit
  if (char === "'") return apostrophe
  if (/[\r\n]/.test(char)) return lineBreak
  return /\s/.test(char) ? space : sign
}

/** Only what is certain has a kind: a letter of Chinese, Japanese or Korean, their stops and brackets, and white space. */
function wideKind(code: number): number {
  if (code >= 0x4e_00 && code <= 0x9f_ff) return wideLetter
  if (code >= 0x30_41 && code <= 0x30_96) return wideLetter
  if (code >= 0x30_a1 && code <= 0x30_fa) return wideLetter
  if (code >= 0xac_00 && code <= 0xd7_a3) return wideLetter
  if (code === 0x30_01 || code === 0x30_02 || (code >= 0x30_08 && code <= 0x30_11)) return wideSign
  if (code === 0xff_01 || code === 0xff_08 || code === 0xff_09 || code === 0xff_0c) return wideSign
  if (code === 0xff_1a || code === 0xff_1b || code === 0xff_1f) return wideSign
  return isWideSpace(code) ? space : other
}

const isWideSpace = (code: number): boolean =>
  code === 0x85 ||
  code === 0xa0 ||
  code === 0x16_80 ||
  (code >= 0x20_00 && code <= 0x20_0a) ||
  code === 0x20_28 ||
  code === 0x20_29 ||
  code === 0x20_2f ||
  code === 0x20_5f ||
  code === 0x30_00

const kindOf = (code: number): number => (code < 128 ? asciiKinds[code]! : wideKind(code))

/** Whether a new piece starts between two kinds whatever else the text holds. */
function isSure(before: number, here: number): boolean {
  if (before === letter) return here === digit || here === sign || here === space || here === lineBreak
  if (before === digit) return here === letter || here === sign || here === space || here === lineBreak
  if (before === sign) return here === digit || here === space
  // A slash may follow: some encodings take it with the line break.
  if (before === lineBreak) return here !== lineBreak && here !== space && here !== sign
  if (before === wideLetter) return here === wideSign || here === space
  return here === space && before !== space
}

/** Whether a cut here would part the halves of a surrogate pair. */
const isInsidePair = (text: string, at: number): boolean =>
  (text.charCodeAt(at - 1) & 0xfc_00) === 0xd8_00 && (text.charCodeAt(at) & 0xfc_00) === 0xdc_00

/** The text in slices of which each is counted in a millisecond or two, and all in time that grows with their length. */
export function* slicesOf(text: string): Generator<string> {
  let start = 0
  let sure = 0
  let run = 0
  let before = space
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    const here = kindOf(code)
    const forced = run >= longestRun && !isInsidePair(text, at)
    if (forced && sure > start) yield text.slice(start, (start = sure))
    if (forced || isSure(before, here)) {
      sure = at
      run = 0
    }
    if (forced || sure - start >= sliceLength) yield text.slice(start, (start = sure))
    run += code < 128 ? 1 : 3
    before = here
  }
  if (start < text.length) yield text.slice(start)
}
