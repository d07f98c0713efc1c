-- reconcile_bookings: what is reserved in a zone, and how these bookings of it stand.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.reconcile_bookings(p_event_id text, p_zone_id text, p_bookings uuid[]) RETURNS TABLE (
    booking jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT booking_json(b)
    FROM bookings AS b
    JOIN events AS e USING (event_id, shard) -- by the shard they are found
    WHERE (b.event_id, b.zone_id) = (p_event_id, p_zone_id) AND b.status = 'reserved'
    UNION ALL
    SELECT booking_json(b)
    FROM bookings AS b
    WHERE b.booking_id = ANY (p_bookings) AND b.status <> 'reserved'
$$;
