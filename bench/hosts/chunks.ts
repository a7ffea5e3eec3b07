/** Events of one measured stream. */
export const chunksOfStream = 500
