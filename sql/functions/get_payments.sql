-- get_payments: every attempt to be paid for a booking, the latest last, each with the steps that it took. One that has come to
-- pay for another booking in its place is among them.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.get_payments(p_booking_id uuid) RETURNS TABLE (payment jsonb, steps jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT payment_json(p), (
        SELECT jsonb_agg(
            jsonb_build_object('state', s.state, 'at_ms', to_ms(s.at), 'detail', s.detail) ORDER BY s.step_id
        )
        FROM payment_steps AS s
        WHERE s.payment_no = p.payment_no
    )
    FROM payments AS p
    WHERE p.booking_id = p_booking_id OR p.replaces = p_booking_id
    ORDER BY p.payment_no
$$;
