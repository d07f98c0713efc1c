-- get_booking: one booking by id, with the state of the latest attempt to pay for it (and the booking which that has come to pay
-- for instead); null if there is no row.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.get_booking(p_booking_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT booking_json(b) || coalesce(
        (
            SELECT jsonb_build_object(
                'payment_state', p.state, 'paid_booking_id', nullif(p.booking_id, b.booking_id)
            )
            FROM payments AS p
            WHERE p.booking_id = b.booking_id OR p.replaces = b.booking_id
            ORDER BY p.payment_no DESC
            LIMIT 1
        ),
        '{}'
    )
    FROM bookings AS b
    WHERE b.booking_id = p_booking_id
$$;
