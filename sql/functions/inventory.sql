-- inventory: what Postgres holds of each zone: sold, and reserved as far as it has been recorded.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.inventory(p_event_id text) RETURNS TABLE (
    event_id text, zone_id text, capacity integer, confirmed integer, reserved bigint, version bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT
        z.event_id, z.zone_id, z.capacity, z.confirmed_seats,
        (
            SELECT coalesce(sum(b.quantity), 0)
            FROM bookings AS b
            WHERE (b.event_id, b.zone_id) = (z.event_id, z.zone_id) AND b.status = 'reserved'
        ),
        z.version
    FROM zones AS z
    WHERE p_event_id IS NULL OR z.event_id = p_event_id
    ORDER BY z.event_id, z.zone_id
$$;
