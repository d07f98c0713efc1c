-- payment_json: a payment with what its booking tells of it, as app/domain/payments.py has it.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.payment_json(p_payment booking.payments) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT jsonb_build_object(
        'number', p_payment.payment_no, 'attempt_id', p_payment.attempt_id, 'booking_id', p_payment.booking_id,
        'event_id', b.event_id, 'zone_id', b.zone_id, 'user_id', b.user_id, 'quantity', b.quantity,
        'payment_id', p_payment.payment_id, 'amount_minor', p_payment.amount_minor, 'currency', p_payment.currency,
        'state', p_payment.state, 'reference', p_payment.reference, 'tries', p_payment.attempts, 'detail', p_payment.last_error,
        'age_ms', (extract(epoch FROM clock_timestamp() - p_payment.created_at) * 1000)::bigint
    )
    FROM bookings AS b
    WHERE b.booking_id = p_payment.booking_id
$$;
