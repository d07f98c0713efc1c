-- void_pin: closes a payment without a booking of it, as p_state: declined, failed, voided, voiding (the provider is still to be
-- told), or refunding. Its pin is recorded as void in the same transaction, so that a confirm under way is refused. VOIDED:
-- Redis may take the pin back now (rule 3.3), also where it was closed before: whoever says so once more may have pinned anew
-- for it. CLOSED: there is none to take back.
-- SERVICE_UNAVAILABLE: the pin is of an older epoch, or there is none while the reservation stands.
-- Locks: shard (shared), booking, payment. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.void_pin(
    p_payment_no bigint, p_epoch integer, p_pin integer, p_state text, p_detail text, p_reference text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_booking booking.bookings;
    v_payment booking.payments;
    v_closed boolean;
    v_outcome text := 'CLOSED';
BEGIN
    SELECT b.* INTO v_booking FROM payments AS p JOIN bookings AS b USING (booking_id) WHERE p.payment_no = p_payment_no;
    PERFORM lock_shards(ARRAY[v_booking.shard]);
    SELECT b.* INTO v_booking FROM bookings AS b WHERE b.booking_id = v_booking.booking_id FOR UPDATE;
    SELECT p.* INTO v_payment FROM payments AS p WHERE p.payment_no = p_payment_no FOR UPDATE;
    v_closed := v_payment.state NOT IN ('intent', 'pending', 'voiding') OR v_payment.state = p_state;
    -- One that is closed or being voided has no pin of its own; another payment may be under way with the one that there is.
    IF v_booking.status = 'reserved' AND (p_pin IS NOT NULL OR NOT v_closed AND v_payment.state <> 'voiding') AND NOT EXISTS (
        SELECT FROM payments AS p
        WHERE p.booking_id = v_booking.booking_id AND p.payment_no <> p_payment_no AND p.state IN ('intent', 'pending')
    ) THEN
        IF p_pin IS NULL OR p_epoch <> (SELECT s.epoch FROM shards AS s WHERE s.shard = v_booking.shard) THEN
            IF v_closed THEN
                RETURN v_outcome;
            END IF;
            RETURN 'SERVICE_UNAVAILABLE';
        END IF;
        UPDATE bookings AS b
        SET void_pin = greatest(b.void_pin, p_pin)
        WHERE b.booking_id = v_booking.booking_id;
        v_outcome := 'VOIDED';
    END IF;
    IF NOT v_closed THEN
        PERFORM move_payment(p_payment_no, p_state, p_detail, p_reference);
    END IF;
    RETURN v_outcome;
END
$$;
