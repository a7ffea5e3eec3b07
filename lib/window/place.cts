// A file of its own kind: only CommonJS knows where it lies, and the sources are ES modules. It requires nothing, so that every bundler takes it.
const here = typeof __filename === 'string' ? __filename : ''

const place = {
  /** The program to start a counting thread with; none where a bundler took this file into another, or sources run as they are. */
  program: /\bplace\.cjs$/.test(here) ? here.replace(/place\.cjs$/, 'thread-program.js') : undefined,
}

export = place
