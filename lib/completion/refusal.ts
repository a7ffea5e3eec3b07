import {
  HistoryUnavailable,
  IdempotencyKeyReused,
  InvalidRequest,
  SessionNotFound,
  TurnInProgress,
  type TurnlogError,
} from '../model/errors.js'
import type { BeginResult, Begun } from '../store/store.js'

/** What a client is told where the store began nothing. */
export function refusal(result: Exclude<BeginResult, Begun | { status: 'finished' }>): TurnlogError {
  switch (result.status) {
    case 'no_session':
      return new SessionNotFound()
    case 'busy':
      return new TurnInProgress(`Turn ${result.turn} of this session is still running.`, 1)
    case 'running':
      return new TurnInProgress(
        `The request with this idempotency key is still running, as turn ${result.turn}.`,
        1,
      )
    case 'mismatch':
      return new IdempotencyKeyReused()
    case 'orphaned':
      return new InvalidRequest('messages brings a tool result whose tool call is not in this session.', {
        param: 'messages',
      })
    case 'nothing_to_replace':
      return new InvalidRequest('regenerate needs an answer to replace, and this session has none.', {
        param: 'regenerate',
      })
    case 'stale':
    default:
      return new HistoryUnavailable(
        new Error('The store called a turn stale that was not asked to be current.'),
      )
  }
}
