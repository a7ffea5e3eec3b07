import type { JsonObject } from './json.js'

/** Whose session. Every statement on people's data carries both. */
export interface SessionKey {
  readonly userId: string
  readonly sessionId: string
}

/** A session as its owner sees it. */
export interface Session {
  readonly id: string
  readonly name: string | null
  readonly model: string | null
  /** How many messages of history a prompt may carry, 1 to 1,000; the pinned system message is not counted. */
  readonly maxHistoryMessages: number
  /** How many messages are listed by default. */
  readonly messageCount: number
  readonly metadata: JsonObject
  /** Seconds of idleness after which the session expires; `null` never. */
  readonly ttlSeconds: number | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly lastMessageAt: Date | null
  readonly expiresAt: Date | null
}

/** How much of a user's there is: what the listings would show, counted as it is written. */
export interface Stats {
  readonly sessions: number
  readonly messages: number
  /** As far as messages were counted in tokens. */
  readonly tokens: number
  /** Of the messages as they are stored, in UTF-8. */
  readonly bytes: number
}

/** What may be given when a session is created or changed; absent fields take the default or stay. */
export interface SessionFields {
  readonly name?: string | null
  readonly model?: string | null
  readonly maxHistoryMessages?: number
  readonly metadata?: JsonObject
  readonly ttlSeconds?: number | null
}
