-- honour_payment: a payment that was captured after its booking had expired pays for another booking of the same seats, which
-- its payer has just reserved again: confirmed and captured in one transaction. Outcomes as of confirm_bookings.
-- Locks: shard (shared), bookings (the older first, as they are sorted), payment, user, zone. Idempotent: yes, by payment.
-- Raises: as confirm_bookings.
CREATE OR REPLACE FUNCTION booking.honour_payment(p_payment_no bigint, p_pins jsonb, p_reference text) RETURNS TABLE (
    booking_id uuid, outcome text, reason text, booking jsonb, zone jsonb, user_seats jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_pin record;
    v_payment booking.payments;
BEGIN
    SELECT p.* INTO v_pin FROM batch_of(p_pins) AS p;
    PERFORM lock_shards(ARRAY[v_pin.shard]);
    SELECT p.* INTO v_payment FROM payments AS p WHERE p.payment_no = p_payment_no;
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (v_payment.booking_id, v_pin.booking_id)
    ORDER BY b.booking_id FOR UPDATE;
    SELECT p.* INTO v_payment FROM payments AS p WHERE p.payment_no = p_payment_no FOR UPDATE;
    booking_id := v_pin.booking_id;
    outcome := CASE
        WHEN v_payment.state NOT IN ('intent', 'pending', 'voiding') THEN 'PAYMENT_DECLINED' -- it was closed meanwhile
        WHEN (SELECT b.status FROM bookings AS b WHERE b.booking_id = v_payment.booking_id) <> 'expired'
            THEN 'RESERVATION_NOT_FOUND'
        WHEN (v_payment.amount_minor, v_payment.currency)
            <> (v_pin.quantity * v_pin.unit_price_minor, v_pin.currency) THEN 'PRICE_CHANGED'
        ELSE 'CONFIRM'
    END;
    IF outcome = 'CONFIRM' THEN
        SELECT c.outcome, c.reason, c.booking, c.zone, c.user_seats
        INTO outcome, reason, booking, zone, user_seats
        FROM confirm_bookings(p_pins) AS c;
        IF outcome = 'CONFIRMED' THEN
            UPDATE payments AS p
            SET booking_id = v_pin.booking_id, replaces = p.booking_id
            WHERE p.payment_no = p_payment_no;
            PERFORM move_payment(p_payment_no, 'captured', 'for another booking of the same seats', p_reference);
        END IF;
    END IF;
    RETURN NEXT;
END
$$;
