import { Misconfigured, Unauthorized } from '../lib/model/errors.js'
import { checkUserId } from '../lib/model/identity.js'
import { show } from '../lib/model/rule.js'

/** What a host says of a request's user: the id, or that nobody is logged in. 0 and "" are nobody. */
export type UserIdAnswer = string | number | false | null | undefined

/** The host's own auth: from a request to its user's id. `bearer()` is one. */
export type UserIdOf<Request> = (request: Request) => UserIdAnswer | Promise<UserIdAnswer>

/** The user's id as it is stored; throws `Unauthorized` where there is nobody. What can be no id is the host's mistake. */
export async function resolveUser<Request>(userId: UserIdOf<Request>, request: Request): Promise<string> {
  const answer: unknown = await userId(request)
  if (answer === undefined || answer === false || Number.isNaN(answer)) throw new Unauthorized()
  if (typeof answer === 'string' || typeof answer === 'number' || answer === null) return checkUserId(answer)
  throw new Misconfigured(
    `userId must give a string or a whole number, got ${show(answer)}. Does it give the user in place of the user's id?`,
  )
}
