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
        z.capacity, z.confirmed_seats, coalesce(l.seats, 0), z.version
    FROM jsonb_to_recordset(p_zones) AS s (
        event_id text, zone_id text, capacity integer, confirmed integer, held integer, available integer, version bigint
    )
    JOIN zones AS z USING (event_id, zone_id)
    LEFT JOIN (
        SELECT b.event_id, b.zone_id, sum(b.quantity) AS seats
        FROM bookings AS b
        JOIN events AS e USING (event_id, shard) -- by the shard they are found
        WHERE b.status = 'reserved' AND e.event_id IN (SELECT p.zone ->> 'event_id' FROM jsonb_array_elements(p_zones) AS p (zone))
        GROUP BY b.event_id, b.zone_id
    ) AS l USING (event_id, zone_id)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    DELETE FROM redis_snapshots AS s WHERE s.taken_at < statement_timestamp() - interval '1 day';
    RETURN v_taken;
END
$$;
