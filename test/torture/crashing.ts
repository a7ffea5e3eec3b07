/** Wraps what a host can reach of its own process: its database client, its Redis client, its requests and responses. */
import type { NextFunction, Request, Response } from 'express'
import { Redis } from 'ioredis'
import { Client } from 'pg'

import type { Moment } from './crash-points.js'

/** The moment at which the request that came last wants this process to die. */
let armed: string | undefined

export function pass(moment: Moment): void {
  if (moment === armed) process.kill(process.pid, 'SIGKILL')
}

/** Every request says in a header where it wants to die; those that do not say live. */
export function arm(req: Request, res: Response, next: NextFunction): void {
  armed = req.get('x-crash')
  if (armed === undefined) return next()
  pass('the request has come')
  watchResponse(res)
  res.once('finish', () => pass('the response is finished'))
  res.once('close', () => pass('the response is closed'))
  next()
}

/** Set beneath Turnlog: what comes here goes out. */
function watchResponse(res: Response): void {
  const write = res.write.bind(res) as (...args: unknown[]) => boolean
  const end = res.end.bind(res) as (...args: unknown[]) => Response
  let isFirst = true
  res.write = ((...args: unknown[]) => {
    if (isFirst) pass('before the first bytes leave')
    const isWritten = write(...args)
    if (isFirst) setImmediate(() => pass('the first bytes have left'))
    isFirst = false
    return isWritten
  }) as Response['write']
  res.end = ((...args: unknown[]) => {
    pass('before the end leaves')
    const ended = end(...args)
    setImmediate(() => pass('the end has left'))
    return ended
  }) as Response['end']
}

type Query = (this: unknown, ...args: unknown[]) => unknown

/** The statements of a turn, as they leave and as they are answered. */
export function watchDatabase(): void {
  const prototype = Client.prototype as unknown as { query: Query }
  const { query } = prototype
  prototype.query = function (this: unknown, ...args: unknown[]): unknown {
    const [statement] = args
    const text = typeof statement === 'string' ? statement : (statement as { text?: string }).text
    if (text?.includes('chat_begin')) {
      return watched(
        () => query.apply(this, args),
        ['before the begin leaves', 'the begin is under way', 'the begin is answered'],
      )
    }
    if (text?.includes('chat_complete')) {
      return watched(
        () => query.apply(this, args),
        ['before the completion leaves', 'the completion is under way', 'the completion is answered'],
      )
    }
    return query.apply(this, args)
  }
}

function watched(call: () => unknown, [before, during, after]: readonly [Moment, Moment, Moment]): unknown {
  pass(before)
  const answer = call()
  setImmediate(() => pass(during))
  if (!(answer instanceof Promise)) throw new Error('The store does not ask as it did: watch it otherwise.')
  return answer.then((result: unknown) => {
    pass(after)
    return result
  })
}

type Send = (
  this: unknown,
  command: { name: string; promise: Promise<unknown> },
  ...rest: unknown[]
) => unknown

/** The first window that a request caches is the one that its begin read, the second its own turn's. */
export function watchCache(): void {
  const prototype = Redis.prototype as unknown as { sendCommand: Send }
  const { sendCommand } = prototype
  let isLonger = false
  prototype.sendCommand = function (this: unknown, command, ...rest): unknown {
    if (command.name === 'get') {
      isLonger = false
      pass('before the cache is read')
      void command.promise.then(() => pass('the cache is read'))
    }
    if (command.name === 'set') {
      const isSecond = isLonger
      isLonger = true
      pass(isSecond ? 'before the longer window is cached' : 'before the window is cached')
      void command.promise.then(() => pass(isSecond ? 'the longer window is cached' : 'the window is cached'))
    }
    return sendCommand.call(this, command, ...rest)
  }
}
