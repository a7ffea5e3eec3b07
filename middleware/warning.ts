/** Says once that answers are seen only encoded: their bytes pass, and only the very end waits for the commit. */
export function warnOnEncoded(): (encoding: string) => void {
  let warned = false
  return (encoding) => {
    if (warned) return
    warned = true
    process.emitWarning(
      `Answers reach Turnlog encoded (${encoding}), so a stream's terminal event cannot wait for its commit. Mount compression before Turnlog.`,
      { type: 'TurnlogWarning' },
    )
  }
}
