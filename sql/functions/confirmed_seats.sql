-- confirmed_seats: how many seats of an event a user has confirmed, and which of these bookings are among them, of one
-- moment.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.confirmed_seats(p_user_id text, p_event_id text, p_bookings uuid[])
RETURNS TABLE (confirmed integer, bookings text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT
        coalesce(
            (SELECT u.confirmed_seats FROM user_seats AS u WHERE (u.event_id, u.user_id) = (p_event_id, p_user_id)), 0
        ),
        ARRAY(SELECT b.booking_id::text FROM bookings AS b
              WHERE b.booking_id = ANY (p_bookings) AND b.status = 'confirmed')
$$;
