-- capture_payment: the provider has the money, so the booking is confirmed with it and the payment is captured, in one
-- transaction: captured means paid and confirmed. Outcomes as of confirm_bookings; without a pin (Redis knows of none)
-- only what is decided already is told, and SERVICE_UNAVAILABLE where nothing is.
-- Locks: shard (shared), booking, payment, user, zone. Idempotent: yes, by payment. Raises: as confirm_bookings.
CREATE OR REPLACE FUNCTION booking.capture_payment(p_payment_no bigint, p_pins jsonb, p_reference text) RETURNS TABLE (
    booking_id uuid, outcome text, reason text, booking jsonb, zone jsonb, user_seats jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_booking booking.bookings;
    v_payment booking.payments;
BEGIN
    SELECT p.booking_id INTO booking_id FROM payments AS p WHERE p.payment_no = p_payment_no;
    PERFORM lock_shards(ARRAY[shard_of(booking_id)]);
    SELECT b.* INTO v_booking FROM bookings AS b WHERE b.booking_id = capture_payment.booking_id FOR UPDATE;
    -- Closes the race of the saga with the web process, and with another worker whose lease has ended.
    SELECT p.* INTO v_payment FROM payments AS p WHERE p.payment_no = p_payment_no FOR UPDATE;
    reason := v_booking.status;
    outcome := CASE
        WHEN v_booking.status = 'confirmed' AND v_payment.state = 'captured' THEN 'CONFIRMED'
        WHEN v_booking.status = 'confirmed' THEN 'ALREADY_CONFIRMED' -- with another payment
        WHEN v_booking.status <> 'reserved' THEN 'RESERVATION_NOT_FOUND'
        WHEN v_payment.state IN ('refunding', 'refunded') THEN 'PAYMENT_DECLINED' -- the money is on its way back
        WHEN p_pins IS NULL THEN 'SERVICE_UNAVAILABLE'
        ELSE 'CONFIRM'
    END;
    IF outcome = 'CONFIRM' THEN
        SELECT c.outcome, c.reason, c.booking, c.zone, c.user_seats
        INTO outcome, reason, booking, zone, user_seats
        FROM confirm_bookings(p_pins) AS c;
        IF outcome = 'CONFIRMED' THEN
            PERFORM move_payment(p_payment_no, 'captured', NULL, p_reference);
        END IF;
    ELSE
        booking := booking_json(v_booking);
        -- Whoever lets go of the hold learns the facts with it, also when another has confirmed it before (rule 3.4).
        SELECT zone_facts(z) INTO zone FROM zones AS z
        WHERE (z.event_id, z.zone_id) = (v_booking.event_id, v_booking.zone_id);
        SELECT user_facts(u) INTO user_seats FROM user_seats AS u
        WHERE (u.event_id, u.user_id) = (v_booking.event_id, v_booking.user_id);
    END IF;
    RETURN NEXT;
END
$$;
