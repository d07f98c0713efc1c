-- get_zone_facts: the facts of one zone, for a Redis that has not learned them; no row if there is no such zone.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.get_zone_facts(p_event_id text, p_zone_id text) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT zone_facts(z) FROM zones AS z WHERE (z.event_id, z.zone_id) = (p_event_id, p_zone_id)
$$;
