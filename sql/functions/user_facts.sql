-- user_facts: a user's confirmed seats of an event, with the version that orders it (rule 3.4).
-- Locks: none; call it with a row that is locked. Idempotent: pure. Raises: nothing.
-- Its names are written in full, and no path is set: so it becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION booking.user_facts(p_user booking.user_seats) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'event_id', p_user.event_id, 'user_id', p_user.user_id, 'confirmed', p_user.confirmed_seats,
        'version', p_user.version
    )
$$;
