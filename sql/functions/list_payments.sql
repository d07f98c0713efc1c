-- list_payments: the latest attempts in some states, or of one number, the newest first.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.list_payments(p_states text[], p_payment_no bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    RETURN QUERY -- planned for these arguments: a function in SQL would look through all payments for one
    SELECT payment_json(p)
    FROM payments AS p
    WHERE (p_states IS NULL OR p.state = ANY (p_states)) AND (p_payment_no IS NULL OR p.payment_no = p_payment_no)
    ORDER BY p.payment_no DESC
    LIMIT p_limit;
END
$$;
