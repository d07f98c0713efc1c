-- list_bookings: a user's bookings, newest first, before p_before where it is given. With a status, those of it and those
-- still `reserved` here: Redis may know their end already.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.list_bookings(
    p_user_id text, p_event_id text, p_status text, p_before uuid, p_limit integer
) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT booking_json(b)
    FROM bookings AS b
    WHERE b.user_id = p_user_id
        AND (p_event_id IS NULL OR b.event_id = p_event_id)
        AND (p_status IS NULL OR b.status IN (p_status, 'reserved'))
        AND (p_before IS NULL OR b.booking_id < p_before)
    ORDER BY b.booking_id DESC
    LIMIT p_limit
$$;
