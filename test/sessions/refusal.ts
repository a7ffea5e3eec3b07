import { expect } from 'chai'

import { TurnlogError } from '../../lib/model/errors.js'

/** The error that a call is refused with. */
export async function refusal(call: () => Promise<unknown>): Promise<TurnlogError> {
  try {
    await call()
  } catch (error) {
    expect(error).to.be.instanceOf(TurnlogError)
    return error as TurnlogError
  }
  throw new Error('The call was not refused.')
}
