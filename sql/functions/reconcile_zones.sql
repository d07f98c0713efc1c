-- reconcile_zones: each zone three times over: its own figures, the sums of its bookings, and the sums that the history of
-- these bookings folds to. The last transition of a booking, by epoch and version, is what it is.
-- Locks: none; one snapshot. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.reconcile_zones(p_event_id text) RETURNS TABLE (
    event_id text, zone_id text, capacity integer, confirmed integer, version bigint,
    booked_confirmed bigint, booked_reserved bigint, folded_confirmed bigint, folded_reserved bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    WITH folded AS (
        SELECT DISTINCT ON (h.booking_id) h.booking_id, h.status
        FROM booking_history AS h
        JOIN bookings AS b USING (booking_id)
        WHERE p_event_id IS NULL OR b.event_id = p_event_id
        ORDER BY h.booking_id, h.epoch DESC, h.version DESC
    ),
    sums AS (
        SELECT
            b.event_id, b.zone_id,
            sum(b.quantity) FILTER (WHERE b.status = 'confirmed') AS booked_confirmed,
            sum(b.quantity) FILTER (WHERE b.status = 'reserved') AS booked_reserved,
            sum(b.quantity) FILTER (WHERE f.status = 'confirmed') AS folded_confirmed,
            sum(b.quantity) FILTER (WHERE f.status = 'reserved') AS folded_reserved
        FROM bookings AS b
        LEFT JOIN folded AS f USING (booking_id)
        WHERE p_event_id IS NULL OR b.event_id = p_event_id
        GROUP BY b.event_id, b.zone_id
    )
    SELECT
        z.event_id, z.zone_id, z.capacity, z.confirmed_seats, z.version,
        coalesce(s.booked_confirmed, 0), coalesce(s.booked_reserved, 0),
        coalesce(s.folded_confirmed, 0), coalesce(s.folded_reserved, 0)
    FROM zones AS z
    LEFT JOIN sums AS s USING (event_id, zone_id)
    WHERE p_event_id IS NULL OR z.event_id = p_event_id
    ORDER BY z.event_id, z.zone_id
$$;
