-- get_booking: one booking by id; null if there is no row.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.get_booking(p_booking_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT booking_json(b) FROM bookings AS b WHERE b.booking_id = p_booking_id
$$;
