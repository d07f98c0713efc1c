-- tail_history: lines of the history by number: those after p_after, p_limit at most, and those of p_missing that have come
-- in the meantime: a transaction takes its numbers before it commits, so a lower number may show after a higher one.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.tail_history(p_after bigint, p_missing bigint[], p_limit integer)
RETURNS TABLE (
    history_id bigint, booking_id uuid, event_id text, zone_id text, user_id text, quantity integer, status text,
    cause text, at_ms bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    WITH wanted AS (
        SELECT h.history_id FROM booking_history AS h WHERE h.history_id = ANY (p_missing)
        UNION ALL
        (SELECT h.history_id FROM booking_history AS h WHERE h.history_id > p_after ORDER BY h.history_id LIMIT p_limit)
    )
    SELECT
        h.history_id, h.booking_id, b.event_id, b.zone_id, b.user_id, b.quantity, h.status, h.cause, to_ms(h.at)
    FROM wanted
    JOIN booking_history AS h USING (history_id)
    JOIN bookings AS b USING (booking_id)
    ORDER BY h.history_id
$$;
