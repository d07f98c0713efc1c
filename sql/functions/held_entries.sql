-- held_entries: the entries of a batch of the log, their shards held open: the epoch that decides liveness cannot move before
-- this commits. Without those of purged events: the log may come again, they do not.
-- Locks: shards (shared). Idempotent: yes. Raises: 22P02 and its like for what is no entry.
CREATE OR REPLACE FUNCTION booking.held_entries(p_entries jsonb) RETURNS booking.entry[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_entries booking.entry[] := entries_of(p_entries);
BEGIN
    PERFORM lock_shards(array_agg(DISTINCT e.shard)) FROM unnest(v_entries) AS e;
    IF NOT EXISTS (SELECT FROM purged_events) THEN
        RETURN v_entries; -- nearly always, and then for nothing
    END IF;
    RETURN (
        SELECT coalesce(array_agg(e::booking.entry), '{}')
        FROM unnest(v_entries) AS e
        WHERE NOT EXISTS (SELECT FROM purged_events AS p WHERE p.event_id = e.event_id)
    );
END
$$;
