import { checkUserId } from '../lib/model/identity.js'

/** The host's own auth: the request's user, or `undefined` where nobody is logged in. 0 and "" are nobody. */
export type UserIdOf<Request> = (
  request: Request,
) => string | number | null | undefined | Promise<string | number | null | undefined>

/** The user's id as it is stored; throws `Unauthorized` where there is nobody. */
export async function resolveUser<Request>(userId: UserIdOf<Request>, request: Request): Promise<string> {
  return checkUserId(await userId(request))
}
