import type { Context } from 'koa'

import { Misconfigured } from '../lib/model/errors.js'
import type { RouteOptions } from './route-options.js'

/** What session routes take where they may have to say themselves where they are. */
export interface MountedRouteOptions<Request> extends RouteOptions<Request> {
  /**
   * The path below which the routes are, where nothing has taken it off `ctx.path`; `:name` stands for any one segment. Default:
   * what koa-mount or a router's wildcard says.
   */
  readonly prefix?: string
}

/** The prefix, and what every framework's routes take. */
export function mountedRouteOptions<Request>(given: MountedRouteOptions<Request>) {
  const { prefix, ...routes } = given ?? {}
  if (prefix === undefined || (typeof prefix === 'string' && prefix.startsWith('/'))) {
    return { prefix: prefix?.replace(/\/$/, ''), routes: given && routes }
  }
  throw new Misconfigured(`prefix must be a path that begins with /, got ${JSON.stringify(prefix)}.`)
}

/** A router's route that takes everything below a path, in the ways in which routers have spelled it. */
const wildcard = /^(.*?)\/?(?:\{\/\*\w+\}|\*\w+|\(\.\*\)|:\w+\*|:\w+\(\.\*\))$/

/** What follows the mount in the request's path; nothing when the path is not below it. */
export function mountOf(ctx: Context, prefix: string | undefined): string | undefined {
  return below(prefix ?? routePrefix(ctx.routerPath) ?? '', ctx.path)
}

/** koa-mount takes its path off; a router does not, and tells its route. */
function routePrefix(route: unknown): string | undefined {
  return typeof route === 'string' ? wildcard.exec(route)?.[1] : undefined
}

function below(prefix: string, path: string): string | undefined {
  const wanted = prefix.split('/').slice(1)
  const segments = path.split('/').slice(1)
  const isBelow = wanted.every((name, index) => {
    const segment = segments[index]
    return name.startsWith(':') ? segment !== undefined && segment !== '' : segment === name
  })
  return isBelow ? `/${segments.slice(wanted.length).join('/')}` : undefined
}
