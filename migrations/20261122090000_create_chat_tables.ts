import type { Names } from './names.js'

/**
 * Sessions, turns and messages. Every key begins with user_id: one user's data lies together, and a distributed
 * Postgres can spread all three by it. Leases are nobody's data: work that one process does at a time.
 */
export const createChatTables = {
  name: '20261122090000_create_chat_tables',

  /** These must not exist yet: somebody else's table of the same name is never touched. */
  makes: (names: Names): readonly string[] => [names.sessions, names.turns, names.messages, names.leases],

  up: (names: Names): readonly string[] => [
    `create table ${names.sessions} (
  user_id text not null,
  id text not null,
  session_name text,
  model text,
  max_history_messages integer not null default 20,
  -- messages that are listed by default
  message_count integer not null default 0,
  -- their tokens, where they were counted, and their bytes as stored
  token_count bigint not null default 0,
  byte_count bigint not null default 0,
  -- the newest turn's number; never goes back, so no number is used twice
  turn_count integer not null default 0,
  -- a fresh random value whenever the visible history moves
  revision uuid not null,
  -- where the pinned system messages lie
  system_exchange integer,
  system_turn integer,
  -- turns up to this one have left the history and the listings
  cleared_at_turn integer not null default 0,
  -- stands in prompts for every exchange up to summary_to
  summary text,
  summary_tokens integer,
  summary_to integer not null default 0,
  -- who is making the next summary, and until when nobody else may
  summary_nonce uuid,
  summary_lease timestamptz,
  -- no turn below this one is open; null: none is
  oldest_open integer,
  is_active boolean not null default true,
  -- json, not jsonb, which refuses NUL and lone surrogates
  metadata json,
  ttl_seconds integer,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_message_at timestamptz,
  -- orders the listing; moved only when the session is not already its user's newest
  activity_at timestamptz not null default now(),
  expires_at timestamptz,
  primary key (user_id, id)
) with (fillfactor = 80)`,
    `create index ${names.index('sessions_activity')} on ${names.sessions} (user_id, activity_at desc, id) where is_active`,
    `create table ${names.turns} (
  user_id text not null,
  session_id text not null,
  turn integer not null,
  exchange integer not null,
  -- k:<idempotency key>, or n:<nonce> without one
  key text not null,
  -- the proof of the turn's owner
  nonce uuid not null,
  -- open, done, interrupted, failed or superseded; no check: it costs a tenth of a turn in Postgres
  status text not null,
  replaces integer,
  -- with what it replaces, all that follows that leaves too
  replaces_rest boolean not null default false,
  -- a failed turn whose question stays in the history
  kept boolean not null default false,
  request_hash text,
  format text,
  model text,
  -- messages of the question; the answer's parts follow
  parts integer not null,
  -- what was pinned before, when this turn moved the pin
  old_system_exchange integer,
  old_system_turn integer,
  response_id text,
  response_time bigint,
  finish_reason text,
  usage json,
  receipt json,
  -- ids of the tool calls that the answer waits for
  calls text[],
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  -- kept when the lease closed the turn: its owner may still complete it
  lease_until timestamptz,
  primary key (user_id, session_id, turn)
) with (fillfactor = 80)`,
    // Partial by a condition that always holds: a look-up by turn cannot take this index for the primary key's, which a
    // plan made over an empty table would do, and keep doing when the session has grown.
    `create unique index ${names.index('turns_key')} on ${names.turns} (user_id, session_id, key) where key is not null`,
    `create table ${names.messages} (
  user_id text not null,
  session_id text not null,
  exchange integer not null,
  turn integer not null,
  part integer not null,
  role text not null,
  -- the readable text
  content text not null,
  -- the message's own JSON, when it says more than role and content
  message text,
  tokens integer,
  -- a leading system message: part of the prompt's front, not of the history
  pinned boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (user_id, session_id, exchange, turn, part)
)`,
    `create table ${names.leases} (
  name text primary key,
  holder uuid not null,
  held_until timestamptz not null
)`,
  ],

  down: (names: Names): readonly string[] => [
    `drop table ${names.leases}`,
    `drop table ${names.messages}`,
    `drop table ${names.turns}`,
    `drop table ${names.sessions}`,
  ],
}
