-- put_off_payment: the outcome is not known yet: the payment is to be asked about again, not before p_delay_ms have passed.
-- Locks: the payment. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.put_off_payment(
    p_payment_no bigint, p_delay_ms bigint, p_detail text, p_reference text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_state text;
BEGIN
    SELECT p.state INTO v_state FROM payments AS p WHERE p.payment_no = p_payment_no FOR UPDATE;
    IF v_state = 'intent' THEN
        PERFORM move_payment(p_payment_no, 'pending', p_detail, p_reference);
    END IF;
    UPDATE payments AS p
    SET last_error = p_detail, reference = coalesce(p_reference, p.reference), leased_until = NULL,
        next_attempt_at = clock_timestamp() + p_delay_ms * interval '1 millisecond', updated_at = clock_timestamp()
    WHERE p.payment_no = p_payment_no AND p.state IN ('pending', 'voiding', 'refunding');
END
$$;
