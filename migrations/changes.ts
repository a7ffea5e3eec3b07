import type { Names } from './names.js'
import { forgetSummary } from './summary.js'
import { weight } from './weight.js'

/*
 * The functions that change what was said. Like those of a turn they lock the session's row first and decide everything
 * under it; they are rare, so a row that somebody else holds is waited for. See there for the settings.
 */
const SETTINGS = 'set enable_seqscan = off set enable_bitmapscan = off'

/** The session's row, locked; returns no_session where its owner would not find it. */
const lockLive = (names: Names): string => `
  select * into s from ${names.sessions} where user_id = p_user and id = p_session for no key update;
  if s.id is null or not s.is_active or s.expires_at <= clock_timestamp() then
    r_status := 'no_session';
    return;
  end if;`

/** A message's exchange and whether it is pinned; returns no_message where it is not there or was cleared. */
const findMessage = (names: Names): string => `
  select m.exchange, m.pinned into v_exchange, v_pinned
  from ${names.turns} t
  join ${names.messages} m on m.user_id = p_user and m.session_id = p_session
    and m.exchange = t.exchange and m.turn = t.turn and m.part = p_part
  where t.user_id = p_user and t.session_id = p_session and t.turn = p_turn and t.exchange > s.cleared_at_turn;
  if v_exchange is null then
    r_status := 'no_message';
    return;
  end if;`

export const deleteMessage = (names: Names): string => `
-- Delete a message with its exchange, and the superseded versions of it. A pinned message goes alone, and leaves the rest.
-- Locks the session's row until the commit. The rows are gone; a late answer to them finds no turn of its owner.
-- The pin that the exchange brought stays, with its turn, whose key and nonce are nobody's any more.
-- Returns in r_status: deleted | no_session | no_message.
create function ${names.deleteMessage}(
  p_user text, p_session text, p_turn integer, p_part integer, out r_status text
) language plpgsql ${SETTINGS} as $$
declare
  s ${names.sessions}%rowtype;
  v_exchange integer;
  v_pinned boolean;
  v_gone integer[];
  v_removed integer;
  v_removed_tokens bigint;
  v_removed_bytes bigint;
begin
${lockLive(names)}
${findMessage(names)}

  if v_pinned then
    v_gone := array[v_exchange];
  else
    v_gone := array(
      with recursive gone(exchange) as (
        select v_exchange
        union
        select o.exchange from gone g
        join ${names.turns} n on n.user_id = p_user and n.session_id = p_session
          and n.turn >= g.exchange and n.exchange = g.exchange
        join ${names.turns} o on o.user_id = p_user and o.session_id = p_session
          and o.turn = n.replaces and o.status = 'superseded'
      ) select exchange from gone);
  end if;

  with gone as (
    delete from ${names.messages} m
    where m.user_id = p_user and m.session_id = p_session and m.exchange = any(v_gone)
      and case when v_pinned then m.pinned and m.turn = p_turn
        else not (m.pinned and m.turn is not distinct from s.system_turn) end
    returning m.turn, m.tokens, m.content, m.message
  )
  select ${weight} into v_removed, v_removed_tokens, v_removed_bytes from gone g
  join ${names.turns} t on t.user_id = p_user and t.session_id = p_session and t.turn = g.turn
  where t.status <> 'superseded';

  if v_pinned then
    if s.system_turn = p_turn then
      s.system_exchange := null;
      s.system_turn := null;
    end if;
  else
    delete from ${names.turns}
    where user_id = p_user and session_id = p_session and turn >= any(v_gone) and exchange = any(v_gone)
      and turn is distinct from s.system_turn;
    update ${names.turns} t set status = 'done', kept = false, replaces = null, key = 'n:' || x.nonce, nonce = x.nonce,
      response_id = null, finish_reason = null, usage = null, receipt = null, calls = null, lease_until = null,
      closed_at = coalesce(t.closed_at, clock_timestamp())
    from (select gen_random_uuid() as nonce) x
    where t.user_id = p_user and t.session_id = p_session and t.turn = s.system_turn and t.exchange = any(v_gone);
  end if;

  update ${names.sessions} set
    message_count = s.message_count - v_removed,
    token_count = s.token_count - v_removed_tokens,
    byte_count = s.byte_count - v_removed_bytes,
    revision = gen_random_uuid(),${forgetSummary('v_exchange')},
    system_exchange = s.system_exchange,
    system_turn = s.system_turn,
    oldest_open = (select min(turn) from ${names.turns}
      where user_id = p_user and session_id = p_session and turn >= s.oldest_open and status = 'open'),
    updated_at = clock_timestamp()
  where user_id = p_user and id = p_session;
  r_status := 'deleted';
end $$`

export const forkSession = (names: Names): string => `
-- Copy a session under a new id: what is listed up to and with the turn of a message, or all of it.
-- Locks the session's row until the commit. Numbers stay, so a message has the same id in both; keys and nonces are new.
-- Open and superseded turns stay behind.
-- Returns in r_status: forked | no_session | no_message | taken.
create function ${names.forkSession}(
  p_user text, p_session text, p_to text, p_name text, p_turn integer, p_part integer, out r_status text
) language plpgsql ${SETTINGS} as $$
declare
  s ${names.sessions}%rowtype;
  v_exchange integer;
  v_pinned boolean;
  v_now timestamptz := clock_timestamp();
  v_turns integer[];
begin
${lockLive(names)}
  if p_turn is not null then
${findMessage(names)}
    perform 1 from ${names.turns} where user_id = p_user and session_id = p_session and turn = p_turn
      and status in ('done', 'interrupted', 'failed');
    if not found then
      r_status := 'no_message';
      return;
    end if;
  end if;

  v_turns := array(
    select turn from ${names.turns}
    where user_id = p_user and session_id = p_session and exchange > s.cleared_at_turn
      and status in ('done', 'interrupted', 'failed')
      and (p_turn is null or exchange < v_exchange or (exchange = v_exchange and turn <= p_turn)));

  insert into ${names.sessions} (user_id, id, session_name, model, max_history_messages, metadata, ttl_seconds,
    cleared_at_turn, revision, created_at, updated_at, activity_at, expires_at)
  values (p_user, p_to, coalesce(p_name, s.session_name), s.model, s.max_history_messages, s.metadata, s.ttl_seconds,
    s.cleared_at_turn, gen_random_uuid(), v_now, v_now, v_now, v_now + s.ttl_seconds * interval '1 second')
  on conflict do nothing;
  if not found then
    r_status := 'taken';
    return;
  end if;

  insert into ${names.turns} (user_id, session_id, turn, exchange, key, nonce, status, kept, request_hash, format, model,
    parts, response_id, response_time, finish_reason, usage, receipt, calls, created_at, closed_at)
  select p_user, p_to, t.turn, t.exchange, 'n:' || t.fresh, t.fresh, t.status, t.kept, t.request_hash, t.format, t.model,
    t.parts, t.response_id, t.response_time, t.finish_reason, t.usage, t.receipt, t.calls, t.created_at, t.closed_at
  from (select x.*, gen_random_uuid() as fresh from ${names.turns} x
    where x.user_id = p_user and x.session_id = p_session and x.turn = any(v_turns) offset 0) t;
  insert into ${names.messages} (user_id, session_id, exchange, turn, part, role, content, message, tokens, pinned, created_at)
  select p_user, p_to, exchange, turn, part, role, content, message, tokens, pinned, created_at
  from ${names.messages}
  where user_id = p_user and session_id = p_session and exchange > s.cleared_at_turn and turn = any(v_turns);

  -- The pin of that time; none where the present one was taken away.
  if s.system_turn is not null then
    select exchange, turn into s.system_exchange, s.system_turn from ${names.messages}
    where user_id = p_user and session_id = p_to and pinned order by turn desc limit 1;
  end if;
  update ${names.sessions} n set
    (message_count, token_count, byte_count, last_message_at) = (select ${weight}, max(m.created_at)
      from ${names.messages} m where m.user_id = p_user and m.session_id = p_to),
    turn_count = greatest(s.cleared_at_turn, (select max(x) from unnest(v_turns) x)),
    system_exchange = s.system_exchange,
    system_turn = s.system_turn
  where n.user_id = p_user and n.id = p_to;
  r_status := 'forked';
end $$`
