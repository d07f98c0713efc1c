-- close_refund: the provider has given the money back, or has none of it: the refund is done, as p_state.
-- Locks: the payment. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.close_refund(
    p_payment_no bigint, p_state text, p_detail text, p_reference text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    PERFORM 1 FROM payments AS p WHERE p.payment_no = p_payment_no AND p.state = 'refunding' FOR UPDATE;
    IF FOUND THEN
        PERFORM move_payment(p_payment_no, p_state, p_detail, p_reference);
    END IF;
END
$$;
