-- is_sandbox: whether an event may be purged. Its id says so, from its creation on and to everybody who is told of it: no
-- event becomes a sandbox, or ceases to be one.
-- Locks: none. Idempotent: pure. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.is_sandbox(p_event_id text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = booking, pg_temp AS $$
    SELECT starts_with(p_event_id, 'sandbox:')
$$;
