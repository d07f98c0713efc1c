-- open_payment: the intent to be paid for a pinned reservation, durable before the provider is asked. OPEN: with the payment,
-- a fresh one or the one that is open already. VOIDED: the pin is void and to be taken back in Redis. Else as
-- confirm_bookings decides. A fresh one belongs to its caller for p_lease_ms: the saga leaves it alone.
-- Locks: shard (shared), booking, payment. Idempotent: yes, one open payment a booking (index payments_one_open).
-- Raises: 23503 for a zone that does not exist.
CREATE OR REPLACE FUNCTION booking.open_payment(p_pins jsonb, p_lease_ms bigint) RETURNS TABLE (
    booking_id uuid, outcome text, reason text, booking jsonb, payment jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_pin record;
    v_booking booking.bookings;
    v_payment booking.payments;
    v_until timestamptz := clock_timestamp() + p_lease_ms * interval '1 millisecond';
BEGIN
    PERFORM lock_shards(array_agg(p.shard)) FROM batch_of(p_pins) AS p;
    -- A reservation that has not been recorded yet gets its row here: a decision does not wait for the worker.
    PERFORM add_bookings(entries_of(p_pins), 'reserved', 'reserve', p_live_only => true);
    SELECT p.*, s.epoch AS epoch_now INTO v_pin FROM batch_of(p_pins) AS p JOIN shards AS s USING (shard);
    -- Closes the race with settle_bookings: either it sees the open payment, or we see the end.
    SELECT b.* INTO v_booking FROM bookings AS b WHERE b.booking_id = v_pin.booking_id FOR UPDATE;
    SELECT p.* INTO v_payment FROM payments AS p
    WHERE p.booking_id = v_pin.booking_id AND p.state IN ('intent', 'pending') FOR UPDATE;
    booking_id := v_pin.booking_id;
    outcome := CASE
        WHEN v_booking.status = 'confirmed' AND v_booking.payment_id IS DISTINCT FROM v_pin.payment_id
            THEN 'ALREADY_CONFIRMED'
        WHEN v_booking.status = 'confirmed' THEN 'CONFIRMED'
        WHEN v_pin.epoch <> v_pin.epoch_now THEN 'SERVICE_UNAVAILABLE'
        WHEN v_booking.status <> 'reserved' THEN 'RESERVATION_NOT_FOUND'
        WHEN v_pin.pin <= v_booking.void_pin THEN 'VOIDED'
        WHEN v_payment.payment_id <> v_pin.payment_id THEN 'CONFIRMATION_IN_PROGRESS'
        ELSE 'OPEN'
    END;
    IF outcome = 'RESERVATION_NOT_FOUND' THEN
        reason := v_booking.status;
    ELSIF outcome = 'OPEN' AND v_payment.payment_no IS NULL THEN
        INSERT INTO payments (
            booking_id, payment_id, amount_minor, currency, epoch, pin, next_attempt_at, leased_until
        )
        VALUES (
            v_pin.booking_id, v_pin.payment_id, v_pin.quantity * v_pin.unit_price_minor, v_pin.currency, v_pin.epoch,
            v_pin.pin, v_until, v_until
        )
        RETURNING * INTO v_payment;
        INSERT INTO payment_steps (payment_no, state) VALUES (v_payment.payment_no, v_payment.state);
    END IF;
    booking := booking_json(v_booking);
    payment := payment_json(v_payment);
    RETURN NEXT;
END
$$;
