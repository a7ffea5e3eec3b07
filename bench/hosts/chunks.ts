/** Events of one measured stream. */
export const chunksOfStream = 500

/** Events of a stream whose answer is as long as a chat's message is: its delays are measured, and prompts are made of it. */
export const chunksOfBrief = 24
