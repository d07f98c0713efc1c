-- doubt_payment: somebody says how a payment stands: the provider is asked about it now. One that was closed without money
-- is told to be void again where the word is that there is money: either it is, or the money becomes a ticket or goes back.
-- Locks: the payment. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.doubt_payment(p_payment_no bigint, p_succeeded boolean, p_detail text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_state text;
BEGIN
    SELECT p.state INTO v_state FROM payments AS p WHERE p.payment_no = p_payment_no FOR UPDATE;
    IF p_succeeded AND v_state IN ('declined', 'failed', 'voided') THEN
        PERFORM move_payment(p_payment_no, 'voiding', p_detail, NULL);
    ELSE
        UPDATE payments AS p
        SET next_attempt_at = clock_timestamp()
        WHERE p.payment_no = p_payment_no AND p.state IN ('intent', 'pending', 'voiding', 'refunding');
    END IF;
END
$$;
