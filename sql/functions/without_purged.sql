-- without_purged: the entries but for those of purged events: the log may come again, they do not.
-- Locks: none; the caller holds the shards, so that no event is purged meanwhile. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.without_purged(p_entries jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM purged_events) THEN
        RETURN p_entries; -- nearly always, and then for nothing
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(e), '[]')
        FROM jsonb_array_elements(p_entries) AS e
        WHERE NOT EXISTS (SELECT FROM purged_events AS p WHERE p.event_id = e ->> 'event_id')
    );
END
$$;
