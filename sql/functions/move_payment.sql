-- move_payment: a payment's next state, with its line among the steps, in the transaction that makes it true. What is left to
-- do about it (voiding, refunding) is due at once.
-- Locks: none; the caller holds the payment. Idempotent: no; called once per step. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.move_payment(
    p_payment_no bigint, p_state text, p_detail text, p_reference text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    UPDATE payments AS p
    SET state = p_state, last_error = p_detail, reference = coalesce(p_reference, p.reference), attempts = 0,
        next_attempt_at = clock_timestamp(), leased_until = NULL, updated_at = clock_timestamp()
    WHERE p.payment_no = p_payment_no;
    INSERT INTO payment_steps (payment_no, state, detail) VALUES (p_payment_no, p_state, p_detail);
END
$$;
