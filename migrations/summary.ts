/*
 * A summary stands for what it covers only as long as that is visible as it was.
 */

/**
 * Columns to set where an exchange leaves the history: a summary that covers it goes, and one that is being made is
 * refused. `exchange` is an expression; null changes nothing. The row is `s`.
 */
export const forgetSummary = (exchange: string): string => `
      summary = case when s.summary_to >= ${exchange} then null else s.summary end,
      summary_to = case when s.summary_to >= ${exchange} then 0 else s.summary_to end,
      summary_nonce = case when ${exchange} is null then s.summary_nonce end`
