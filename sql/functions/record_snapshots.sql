-- record_snapshots: writes down how Redis holds these zones, beside how Postgres does in this moment, and forgets the
-- photographs of more than a day ago.
-- Locks: none. Idempotent: no, each call is a photograph. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.record_snapshots(p_zones jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_taken integer;
BEGIN
    INSERT INTO redis_snapshots (
        taken_at, event_id, zone_id, capacity, confirmed, held, available, version,
        postgres_capacity, postgres_confirmed, postgres_reserved, postgres_version
    )
    SELECT
        clock_timestamp(), s.event_id, s.zone_id, s.capacity, s.confirmed, s.held, s.available, s.version,
        z.capacity, z.confirmed_seats,
        (
            SELECT coalesce(sum(b.quantity), 0)
            FROM bookings AS b
            WHERE b.shard = e.shard AND b.status = 'reserved' AND (b.event_id, b.zone_id) = (z.event_id, z.zone_id)
        ),
        z.version
    FROM jsonb_to_recordset(p_zones) AS s (
        event_id text, zone_id text, capacity integer, confirmed integer, held integer, available integer, version bigint
    )
    JOIN zones AS z USING (event_id, zone_id)
    JOIN events AS e USING (event_id)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    DELETE FROM redis_snapshots AS s WHERE s.taken_at < statement_timestamp() - interval '1 day';
    RETURN v_taken;
END
$$;
