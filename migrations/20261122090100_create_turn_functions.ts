import { deleteMessage, forkSession } from './changes.js'
import type { Names } from './names.js'
import { forgetSummary } from './summary.js'
import { bytes, weight } from './weight.js'

/*
 * The functions that read and write a turn. Their first argument is the user, so that a distributed Postgres can
 * send the whole call to the shard that holds the session. Statements inside are planned once a connection, maybe
 * while a table is still empty: sequential and bitmap scans are ruled out, so that the plan stays the key's own scan.
 */
const SETTINGS = 'set enable_seqscan = off set enable_bitmapscan = off'

/** Take the session's row. Without p_wait a row that somebody else holds is told from one that is not there. */
const lockSession = (names: Names): string => `
  if p_wait then
    select * into s from ${names.sessions} where user_id = p_user and id = p_session for no key update;
  else
    select * into s from ${names.sessions} where user_id = p_user and id = p_session for no key update skip locked;
    if s.id is null then
      perform 1 from ${names.sessions} where user_id = p_user and id = p_session;
      if found then
        r_status := 'locked';
        return;
      end if;
    end if;
  end if;`

/** One message of a history as it travels: content only where the message's own JSON does not hold it. */
const travelling = `json_build_array(m.exchange, m.turn, t.status, m.role,
          case when m.message is null then m.content end, m.message, m.tokens)`

/**
 * The status of a message's turn as a prompt sees it (a failed question that is kept broke off), read by key for
 * each message; "offset 0" keeps it from becoming a join over all turns.
 */
const turnOfMessage = (names: Names): string => `cross join lateral (
          select case when x.kept then 'interrupted' else x.status end as status from ${names.turns} x
          where x.user_id = p_user and x.session_id = p_session and x.turn = m.turn offset 0
        ) t`

/** Done or interrupted, and not what the asking turn is to replace: a whole exchange, one turn of it, or (p_out_turn 0) it and all that follow. */
const visible = `t.status in ('done', 'interrupted')
          and (p_out_exchange is null or m.exchange < p_out_exchange
            or (m.exchange > p_out_exchange and p_out_turn is distinct from 0)
            or (m.exchange = p_out_exchange and p_out_turn > 0 and m.turn <> p_out_turn))`

const readHistory = (names: Names): string => `
-- Read the newest history of a session: its pinned messages, its summary, the newest visible messages that this does not
-- cover, and the joined exchange. What is replaced leaves its summary out.
-- Locks nothing. Stable, so that it sees the same moment as the statement that calls it.
-- Returns JSON text: system; summary: text, last exchange, tokens; rows, newest first, one more than the limit when there are more; joined, newest first:
-- of the exchange p_exchange its opening turn, the turn p_step and the newest turns that reach over the limit.
create function ${names.readHistory}(
  p_user text, p_session text, p_cleared integer, p_system_exchange integer, p_system_turn integer,
  p_limit integer, p_exchange integer, p_step integer, p_out_exchange integer, p_out_turn integer
) returns text language plpgsql stable ${SETTINGS} as $$
declare
  v_cut integer;
  v_to integer;
  v_summary json;
begin
  select summary_to, json_build_array(summary, summary_to, summary_tokens) into v_to, v_summary
  from ${names.sessions} where user_id = p_user and id = p_session and summary is not null
    and (p_out_exchange is null or summary_to < p_out_exchange);
  if p_exchange is not null then
    select m.turn into v_cut from ${names.messages} m ${turnOfMessage(names)}
    where m.user_id = p_user and m.session_id = p_session and m.exchange = p_exchange and not m.pinned and ${visible}
    order by m.turn desc, m.part desc offset p_limit limit 1;
  end if;
  return json_build_object(
    'system', (
      select json_agg(json_build_array(m.exchange, m.turn, 'done', m.role,
          case when m.message is null then m.content end, m.message, m.tokens) order by m.part)
      from ${names.messages} m
      where m.user_id = p_user and m.session_id = p_session
        and m.exchange = p_system_exchange and m.turn = p_system_turn and m.pinned),
    'summary', v_summary,
    'rows', (
      select json_agg(r.j) from (
        select ${travelling} as j from ${names.messages} m ${turnOfMessage(names)}
        where m.user_id = p_user and m.session_id = p_session and m.exchange > greatest(p_cleared, v_to) and not m.pinned and ${visible}
        order by m.exchange desc, m.turn desc, m.part desc limit p_limit + 1) r),
    'joined', (
      select json_agg(r.j) from (
        select ${travelling} as j from ${names.messages} m ${turnOfMessage(names)}
        where m.user_id = p_user and m.session_id = p_session and m.exchange = p_exchange and not m.pinned and ${visible}
          and (m.turn >= coalesce(v_cut, 0) or m.turn = p_exchange or m.turn = p_step)
        order by m.exchange desc, m.turn desc, m.part desc) r)
  )::text;
end $$`

interface StoredPlace {
  readonly exchange: string
  readonly turn: string
  /** Of the message at v_at, from 0. */
  readonly part: string
  readonly pinned: string
}

/** Store messages and weigh them, one by one: a turn mostly brings one, and for one row a plain insert takes half the time of a set. */
const storeMessages = (
  names: Names,
  messages: string,
  { exchange, turn, part, pinned }: StoredPlace,
): string => `
    for v_at in 0 .. jsonb_array_length(${messages}) - 1 loop
      insert into ${names.messages} (user_id, session_id, exchange, turn, part, role, content, message, tokens, pinned, created_at)
      values (p_user, p_session, ${exchange}, ${turn}, ${part}, ${messages}->v_at->>'role', ${messages}->v_at->>'content',
        ${messages}->v_at->>'message', (${messages}->v_at->>'tokens')::integer, ${pinned}, v_now)
      returning v_added + 1, v_added_tokens + coalesce(tokens, 0), v_added_bytes + ${bytes}
        into v_added, v_added_tokens, v_added_bytes;
    end loop;`

const beginTurn = (names: Names): string => `
-- Begin a turn: lock the session, know the key, number the turn, store the question, read the history.
-- Locks the session's row until the commit and decides everything under it. p_call is the call as JSON; its messages
-- carry their own JSON as a string, so that NUL and lone surrogates pass. Never raises for what is normal.
-- Returns in r_status:
--   begun               r_turn was numbered and its question stored, or had been by the same nonce
--   locked              somebody else holds the row and p_wait is false; nothing was done
--   no_session          unknown, foreign, deleted or expired
--   mismatch            the key's turn r_turn was another request
--   running, finished   the key's turn r_turn is open, is done
--   busy                concurrency reject, and r_turn is open
--   stale               the cached revision is not the current one; nothing was stored
--   orphaned            no visible turn made the calls that the question answers
--   nothing_to_replace  there is no visible turn, or not the one that is to be replaced
create function ${names.beginTurn}(
  p_user text, p_session text, p_call jsonb, p_wait boolean,
  out r_status text, out r_turn integer, out r_exchange integer, out r_parts integer, out r_model text,
  out r_limit integer, out r_revision uuid, out r_history text, out r_replaces integer, out r_waits_for integer
) language plpgsql ${SETTINGS} as $$
declare
  s ${names.sessions}%rowtype;
  known ${names.turns}%rowtype;
  own ${names.turns}%rowtype;
  v_now timestamptz;
  v_nonce uuid := (p_call->>'nonce')::uuid;
  v_key text := coalesce('k:' || (p_call->>'key'), 'n:' || v_nonce);
  v_repeated boolean := false;
  v_system jsonb := coalesce(p_call->'system', '[]');
  v_pin jsonb;
  v_pin_leaves boolean := false;
  v_pins integer := 0;
  v_messages jsonb := p_call->'question';
  v_answers text[];
  v_joined integer;
  v_step integer;
  v_open integer;
  v_out_exchange integer;
  v_out_turn integer;
  v_rest boolean := false;
  v_forget integer;
  v_added integer := 0;
  v_added_tokens bigint := 0;
  v_added_bytes bigint := 0;
  v_removed integer := 0;
  v_removed_tokens bigint := 0;
  v_removed_bytes bigint := 0;
  v_newest_id text;
  v_newest_at timestamptz;
  v_limit integer;
begin
${lockSession(names)}
  v_now := clock_timestamp();

  if s.id is null and p_call->'create' is not null then
    insert into ${names.sessions} (user_id, id, session_name, model, max_history_messages, metadata, ttl_seconds,
      revision, created_at, updated_at, activity_at, expires_at)
    values (p_user, p_session, p_call->'create'->>'name', p_call->'create'->>'model',
      coalesce((p_call->'create'->>'max')::integer, 20), (p_call->'create'->>'metadata')::json,
      (p_call->'create'->>'ttl')::integer, gen_random_uuid(), v_now, v_now, v_now,
      v_now + (p_call->'create'->>'ttl')::integer * interval '1 second')
    on conflict do nothing;
${lockSession(names)}
  end if;

  if s.id is null or not s.is_active or s.expires_at <= v_now then
    r_status := 'no_session';
    return;
  end if;

  -- Turns whose lease ran out are interrupted: their questions become visible.
  if s.oldest_open is not null then
    update ${names.turns} set status = 'interrupted', closed_at = v_now
    where user_id = p_user and session_id = p_session and turn >= s.oldest_open
      and status = 'open' and lease_until <= v_now;
    if found then
      s.revision := gen_random_uuid();
      update ${names.sessions} set revision = s.revision, updated_at = v_now where user_id = p_user and id = p_session;
    end if;
    select min(turn) into v_open from ${names.turns}
    where user_id = p_user and session_id = p_session and turn >= s.oldest_open and status = 'open';
  end if;

  r_model := s.model;
  r_limit := s.max_history_messages;
  r_revision := s.revision;
  v_limit := coalesce((p_call->>'limit')::integer, s.max_history_messages);

  select * into known from ${names.turns} where user_id = p_user and session_id = p_session and key = v_key;
  if p_call->>'key' is not null and known.nonce is distinct from v_nonce then
    -- This begin's own turn may have lost the key to a later one.
    select * into own from ${names.turns}
    where user_id = p_user and session_id = p_session and key = 'n:' || v_nonce;
    if own.turn is not null then
      known := own;
    end if;
  end if;
  v_repeated := coalesce(known.nonce = v_nonce, false);

  if known.turn <= s.cleared_at_turn and not v_repeated then
    -- What was cleared is not replayed: its key is free again.
    update ${names.turns} set key = 'n:' || nonce
    where user_id = p_user and session_id = p_session and turn = known.turn;
    known := null;
  end if;

  if known.turn is not null and not v_repeated then
    r_turn := known.turn;
    r_status := case
      when known.request_hash <> p_call->>'hash' then 'mismatch'
      when known.status = 'open' then 'running'
      when known.status in ('done', 'superseded') then 'finished'
    end;
    if r_status is not null then
      return;
    end if;
  end if;

  if not v_repeated and p_call->>'concurrency' = 'reject' and v_open is not null then
    r_status := 'busy';
    r_turn := v_open;
    return;
  end if;

  if not v_repeated and (p_call->>'current')::boolean and (p_call->>'revision') is distinct from s.revision::text then
    r_status := 'stale';
    r_history := ${names.readHistory}(p_user, p_session, s.cleared_at_turn, s.system_exchange, s.system_turn,
      v_limit, null, null, null, null);
    return;
  end if;

  if p_call->'answers' is not null then
    v_answers := array(select jsonb_array_elements_text(p_call->'answers'));
    select exchange, turn into v_joined, v_step from ${names.turns}
    where user_id = p_user and session_id = p_session
      and turn > greatest(s.cleared_at_turn, s.turn_count - 200) and status = 'done' and calls && v_answers
    order by turn desc limit 1;
    if v_joined is null and not v_repeated then
      r_status := 'orphaned';
      return;
    end if;
  end if;

  if v_repeated then
    v_joined := coalesce(v_joined, nullif(known.exchange, known.turn));
    r_replaces := known.replaces;
    v_rest := known.replaces_rest;
    select exchange into v_out_exchange from ${names.turns}
    where user_id = p_user and session_id = p_session and turn = known.replaces;
  elsif p_call->>'replaces' = 'last' then
    select m.exchange, m.turn into v_out_exchange, r_replaces
    from ${names.messages} m ${turnOfMessage(names)}
    where m.user_id = p_user and m.session_id = p_session and m.exchange > s.cleared_at_turn and not m.pinned
      and t.status in ('done', 'interrupted') and m.turn is distinct from known.turn
    order by m.exchange desc, m.turn desc, m.part desc limit 1;
    if r_replaces is null then
      r_status := 'nothing_to_replace';
      return;
    end if;
  elsif jsonb_typeof(p_call->'replaces') = 'number' then
    v_rest := true;
    select exchange, turn into v_out_exchange, r_replaces from ${names.turns}
    where user_id = p_user and session_id = p_session and turn = (p_call->>'replaces')::integer
      and turn > s.cleared_at_turn and status <> 'superseded';
    if r_replaces is null then
      r_status := 'nothing_to_replace';
      return;
    end if;
    if v_joined >= v_out_exchange then
      r_status := 'orphaned';
      return;
    end if;
  elsif known.turn is not null then
    r_replaces := known.turn;
    v_out_exchange := known.exchange;
  end if;
  -- Replaced from within its exchange, one turn leaves; replaced by a new question, the whole exchange does.
  if v_rest then
    v_out_turn := 0;
  elsif v_joined = v_out_exchange then
    v_out_turn := r_replaces;
  end if;

  if v_repeated then
    r_turn := known.turn;
    r_exchange := known.exchange;
    r_parts := known.parts;
  else
    -- The key's failed or interrupted turn makes room; its key goes to the new one.
    if known.turn is not null then
      update ${names.turns} set status = 'superseded', kept = false, key = 'n:' || nonce, lease_until = null
      where user_id = p_user and session_id = p_session and turn = known.turn;
      select ${weight} into v_removed, v_removed_tokens, v_removed_bytes from ${names.messages}
      where user_id = p_user and session_id = p_session and exchange = known.exchange and turn = known.turn;
      if known.status = 'interrupted' or known.kept then
        s.revision := gen_random_uuid();
      end if;
      v_pin_leaves := coalesce(s.system_turn = known.turn, false);
    end if;
    v_pin_leaves := v_pin_leaves
      or coalesce(s.system_exchange = v_out_exchange and (v_out_turn is null or s.system_turn = v_out_turn), false)
      or coalesce(v_rest and s.system_exchange >= v_out_exchange, false);

    -- A pin is stored when it differs from the present one, or when the present one leaves with its turn.
    if s.system_turn is not null and (v_pin_leaves or jsonb_array_length(v_system) > 0) then
      select jsonb_agg(jsonb_build_object('role', m.role, 'content', m.content, 'message', m.message, 'tokens', m.tokens)
        order by m.part) into v_pin
      from ${names.messages} m
      where m.user_id = p_user and m.session_id = p_session
        and m.exchange = s.system_exchange and m.turn = s.system_turn and m.pinned;
      if jsonb_array_length(v_system) = 0 then
        v_system := coalesce(v_pin, '[]');
      elsif not v_pin_leaves
        and (select jsonb_agg(jsonb_build_array(e->'role', e->'content', coalesce(e->'message', 'null')) order by o)
             from jsonb_array_elements(v_system) with ordinality as x(e, o))
          = (select jsonb_agg(jsonb_build_array(e->'role', e->'content', coalesce(e->'message', 'null')) order by o)
             from jsonb_array_elements(v_pin) with ordinality as x(e, o)) then
        v_system := '[]';
      end if;
    end if;
    v_pins := jsonb_array_length(v_system);
    if v_pins > 0 then
      v_messages := v_system || v_messages;
    end if;

    r_turn := s.turn_count + 1;
    r_exchange := coalesce(v_joined, r_turn);
    r_parts := jsonb_array_length(v_messages);
    insert into ${names.turns} (user_id, session_id, turn, exchange, key, nonce, status, replaces, replaces_rest, request_hash, format,
      model, parts, old_system_exchange, old_system_turn, created_at, lease_until)
    values (p_user, p_session, r_turn, r_exchange, v_key, v_nonce, 'open', r_replaces, v_rest, p_call->>'hash', p_call->>'format',
      p_call->>'model', r_parts, s.system_exchange, s.system_turn, v_now,
      v_now + (p_call->>'lease')::double precision * interval '1 millisecond');
${storeMessages(names, 'v_messages', { exchange: 'r_exchange', turn: 'r_turn', part: 'v_at', pinned: 'v_at < v_pins' })}

    if v_pins > 0 then
      s.revision := gen_random_uuid();
      s.system_exchange := r_exchange;
      s.system_turn := r_turn;
    end if;
    r_revision := s.revision;

    select id, activity_at into v_newest_id, v_newest_at from ${names.sessions}
    where user_id = p_user and is_active order by activity_at desc, id limit 1;

    update ${names.sessions} set
      turn_count = r_turn,
      message_count = s.message_count + v_added - v_removed,
      token_count = s.token_count + v_added_tokens - v_removed_tokens,
      byte_count = s.byte_count + v_added_bytes - v_removed_bytes,
      revision = s.revision,${forgetSummary('v_forget')},
      system_exchange = s.system_exchange,
      system_turn = s.system_turn,
      oldest_open = coalesce(v_open, r_turn),
      last_message_at = v_now,
      updated_at = v_now,
      activity_at = case when v_newest_id = p_session then s.activity_at
        else greatest(v_now, v_newest_at + interval '1 microsecond') end,
      expires_at = case when s.ttl_seconds is null then s.expires_at
        else v_now + s.ttl_seconds * interval '1 second' end
    where user_id = p_user and id = p_session;
  end if;

  r_status := 'begun';
  if p_call->>'concurrency' = 'enqueue' and v_open < r_turn then
    r_waits_for := v_open;
    return;
  end if;
  if r_replaces is not null
    or (p_call->>'revision') is distinct from s.revision::text
    or ((p_call->>'from')::integer > 0 and (p_call->>'reach')::integer <= v_limit)
    or (r_exchange < r_turn and (p_call->>'from')::integer > r_exchange) then
    r_history := ${names.readHistory}(p_user, p_session, s.cleared_at_turn, s.system_exchange, s.system_turn,
      v_limit, v_joined, v_step, v_out_exchange, v_out_turn);
  end if;
end $$`

const completeTurn = (names: Names): string => `
-- Complete a turn: lock the session, prove the owner, store the answer, move the revision.
-- Locks the session's row until the commit and decides everything under it. Never raises for what is normal.
-- Returns in r_status:
--   completed   the turn was closed; r_from and r_to are the revisions just before and after
--   repeated    the same ending had been stored before
--   closed      closed otherwise (r_as), superseded, somebody else's, or gone
--   cleared     the history was cleared after the turn began
--   no_session  unknown, foreign, deleted or expired
--   locked      somebody else holds the row and p_wait is false; nothing was done
create function ${names.completeTurn}(
  p_user text, p_session text, p_call jsonb, p_wait boolean,
  out r_status text, out r_as text, out r_from uuid, out r_to uuid
) language plpgsql ${SETTINGS} as $$
declare
  s ${names.sessions}%rowtype;
  t ${names.turns}%rowtype;
  v_now timestamptz;
  v_turn integer := (p_call->>'turn')::integer;
  v_ending text := p_call->>'ending';
  v_answer jsonb := coalesce(p_call->'answer', '[]');
  v_added integer := 0;
  v_added_tokens bigint := 0;
  v_added_bytes bigint := 0;
  v_removed integer := 0;
  v_removed_tokens bigint := 0;
  v_removed_bytes bigint := 0;
  v_moves boolean;
  v_keeps boolean := v_ending = 'failed' and coalesce((p_call->>'keeps')::boolean, false);
  v_out_exchange integer;
  v_out integer[];
  v_forget integer;
begin
${lockSession(names)}
  v_now := clock_timestamp();
  if s.id is null or not s.is_active or s.expires_at <= v_now then
    r_status := 'no_session';
    return;
  end if;

  select * into t from ${names.turns} where user_id = p_user and session_id = p_session and turn = v_turn;
  if t.turn is null then
    -- A discarded turn's rows are gone; discarding it again is the same.
    r_status := case when v_ending = 'discarded' and v_turn <= s.turn_count then 'repeated' else 'closed' end;
    return;
  end if;
  if v_turn <= s.cleared_at_turn then
    r_status := 'cleared';
    return;
  end if;
  if t.nonce <> (p_call->>'nonce')::uuid then
    r_status := 'closed';
    r_as := t.status;
    return;
  end if;
  -- A turn that its lease closed still has its lease: the owner comes late, but comes.
  if t.status <> 'open' and (t.status <> 'interrupted' or t.lease_until is null) then
    r_as := t.status;
    r_status := case when t.status = v_ending then 'repeated' else 'closed' end;
    return;
  end if;

  -- What its lease had made visible may be in a summary by now.
  v_forget := case when t.status = 'interrupted' then t.exchange end;
  v_moves := t.status = 'interrupted' or v_ending in ('done', 'interrupted') or v_keeps;
  if v_ending = 'discarded' then
    with removed as (
      delete from ${names.messages}
      where user_id = p_user and session_id = p_session and exchange = t.exchange and turn = v_turn
      returning tokens, content, message
    ) select ${weight} into v_removed, v_removed_tokens, v_removed_bytes from removed;
    delete from ${names.turns} where user_id = p_user and session_id = p_session and turn = v_turn;
    -- A later pin that is discarded too goes back to the one before both.
    update ${names.turns} set old_system_exchange = t.old_system_exchange, old_system_turn = t.old_system_turn
    where user_id = p_user and session_id = p_session and turn > v_turn and old_system_turn = v_turn;
    if s.system_turn = v_turn then
      s.system_exchange := t.old_system_exchange;
      s.system_turn := t.old_system_turn;
      v_moves := true;
    end if;
  else
${storeMessages(names, 'v_answer', { exchange: 't.exchange', turn: 'v_turn', part: 't.parts + v_at', pinned: 'false' })}
    update ${names.turns} set
      status = v_ending,
      kept = v_keeps,
      closed_at = v_now,
      lease_until = null,
      model = coalesce(p_call->>'model', model),
      response_id = p_call->>'id',
      response_time = (p_call->>'time')::bigint,
      finish_reason = p_call->>'finish',
      usage = (p_call->>'usage')::json,
      receipt = (p_call->>'receipt')::json,
      calls = case when p_call->'calls' is not null then array(select jsonb_array_elements_text(p_call->'calls')) end
    where user_id = p_user and session_id = p_session and turn = v_turn;
  end if;

  -- A finished turn takes the place of what it replaces: one turn of its own exchange, or another exchange whole.
  if v_ending = 'done' and t.replaces is not null then
    select exchange into v_out_exchange from ${names.turns}
    where user_id = p_user and session_id = p_session and turn = t.replaces;
    v_out := array(
      select turn from ${names.turns}
      where user_id = p_user and session_id = p_session and status <> 'superseded'
        and (exchange = v_out_exchange or (t.replaces_rest and exchange > v_out_exchange and turn < v_turn))
        and turn >= case when v_out_exchange = t.exchange then t.replaces else v_out_exchange end
        and turn <= case when v_out_exchange = t.exchange then t.replaces else s.turn_count end
        and turn <> v_turn);
    -- Asked for again twice at once: the other answer had taken its place first, and leaves as it would have.
    if cardinality(v_out) = 0 and not t.replaces_rest then
      v_out := array(
        with recursive r as (
          select t.replaces as turn, v_out_exchange as exchange
          union
          select c.turn, c.exchange from r join ${names.turns} c
            on c.user_id = p_user and c.session_id = p_session and c.turn > t.replaces and c.replaces = r.turn
          where c.turn <> v_turn and not c.replaces_rest and c.status in ('done', 'superseded')
        )
        select x.turn from ${names.turns} x join r on x.turn = r.turn or (x.exchange = r.turn and x.turn > r.turn)
        where x.user_id = p_user and x.session_id = p_session and x.turn > t.replaces and x.turn <> v_turn
          and r.turn <> t.replaces and x.status <> 'superseded');
    end if;
    if cardinality(v_out) > 0 then
      v_forget := v_out_exchange;
      select ${weight} into v_removed, v_removed_tokens, v_removed_bytes from ${names.messages}
      where user_id = p_user and session_id = p_session and exchange >= v_out_exchange and turn = any(v_out);
      -- The key of a finished turn stays with it: its request is still answered once.
      update ${names.turns} set
        key = case when status = 'done' then key else 'n:' || nonce end,
        status = 'superseded',
        kept = false,
        lease_until = null
      where user_id = p_user and session_id = p_session and turn = any(v_out);
    end if;
  end if;

  if s.oldest_open = v_turn then
    s.oldest_open := null;
    if v_turn < s.turn_count then
      select min(turn) into s.oldest_open from ${names.turns}
      where user_id = p_user and session_id = p_session and turn > v_turn and status = 'open';
    end if;
  end if;

  r_status := 'completed';
  r_from := s.revision;
  r_to := case when v_moves then gen_random_uuid() else s.revision end;
  update ${names.sessions} set
    message_count = s.message_count + v_added - v_removed,
    token_count = s.token_count + v_added_tokens - v_removed_tokens,
    byte_count = s.byte_count + v_added_bytes - v_removed_bytes,
    revision = r_to,${forgetSummary('v_forget')},
    system_exchange = s.system_exchange,
    system_turn = s.system_turn,
    oldest_open = s.oldest_open,
    last_message_at = v_now,
    updated_at = v_now
  where user_id = p_user and id = p_session;
end $$`

/** Reading the history, beginning a turn, completing it, and changing what was said: each one call, one commit. */
export const createTurnFunctions = {
  name: '20261122090100_create_turn_functions',

  makes: (): readonly string[] => [],

  up: (names: Names): readonly string[] =>
    [readHistory(names), beginTurn(names), completeTurn(names), deleteMessage(names), forkSession(names)].map(
      (text) => text.trim(),
    ),

  down: (names: Names): readonly string[] => [
    `drop function ${names.forkSession}(text, text, text, text, integer, integer)`,
    `drop function ${names.deleteMessage}(text, text, integer, integer)`,
    `drop function ${names.completeTurn}(text, text, jsonb, boolean)`,
    `drop function ${names.beginTurn}(text, text, jsonb, boolean)`,
    `drop function ${names.readHistory}(text, text, integer, integer, integer, integer, integer, integer, integer, integer)`,
  ],
}
