/** The bytes of a message as stored. */
export const bytes = `octet_length(content) + coalesce(octet_length(message), 0)`

/**
 * What rows of messages come to: how many they are, their tokens where these were counted, and their bytes as stored. The
 * session's counters move by it, so that nobody ever has to scan messages to know how much there is.
 */
export const weight = `count(*), coalesce(sum(tokens), 0), coalesce(sum(${bytes}), 0)`
