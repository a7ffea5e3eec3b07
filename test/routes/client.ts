import type { JsonObject } from '../../lib/model/json.js'

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; empty when it is no JSON. */
  readonly json: JsonObject
}

export interface Call {
  readonly user?: string
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is. */
  readonly raw?: string | Uint8Array | ReadableStream
  readonly headers?: Readonly<Record<string, string>>
}

export type Client = (method: string, path: string, call?: Call) => Promise<Reply>

/** Calls paths below one URL; the user goes in a header of our test hosts. */
export const clientOf =
  (base: string): Client =>
  async (method, path, { user, body, raw, headers = {} } = {}) => {
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body))
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        ...(user !== undefined && { 'x-user': user }),
        ...(sent !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(sent !== undefined && { body: sent, duplex: 'half' }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: parse(text) }
  }

function parse(text: string): JsonObject {
  try {
    return JSON.parse(text) as JsonObject
  } catch {
    return {}
  }
}

/** The error in OpenAI's envelope. */
export const errorOf = ({ json }: Reply) =>
  (json.error ?? {}) as { message: string; type: string; param: string | null; code: string }

/** The items of a list. */
export const dataOf = ({ json }: Reply) => json.data as JsonObject[]
