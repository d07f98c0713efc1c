-- inventory: what Postgres holds of each zone: sold, and reserved as far as it has been recorded.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.inventory(p_event_id text) RETURNS TABLE (
    event_id text, zone_id text, capacity integer, confirmed integer, reserved bigint, version bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT
        z.event_id, z.zone_id, z.capacity, z.confirmed_seats, coalesce(l.seats, 0), z.version
    FROM zones AS z
    LEFT JOIN (
        SELECT b.event_id, b.zone_id, sum(b.quantity) AS seats
        FROM bookings AS b
        JOIN events AS e USING (event_id, shard) -- by the shard those of one event are found
        WHERE b.status = 'reserved' AND (p_event_id IS NULL OR e.event_id = p_event_id)
        GROUP BY b.event_id, b.zone_id
    ) AS l USING (event_id, zone_id)
    WHERE p_event_id IS NULL OR z.event_id = p_event_id
    ORDER BY z.event_id, z.zone_id
$$;
