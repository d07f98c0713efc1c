-- claim_payments: payments about which something is to be done now, for the caller alone as long as the lease lasts. Whoever
-- dies with it loses it; whoever is late does what has been done already, and nothing comes of it.
-- Locks: the payments claimed; those that somebody holds are passed over. Idempotent: no, that is its point. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.claim_payments(p_limit integer, p_lease_ms bigint) RETURNS SETOF jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    UPDATE payments AS p
    SET leased_until = clock_timestamp() + p_lease_ms * interval '1 millisecond', attempts = p.attempts + 1
    FROM (
        SELECT d.payment_no
        FROM payments AS d
        WHERE d.state IN ('intent', 'pending', 'voiding', 'refunding')
            AND d.next_attempt_at <= statement_timestamp()
            AND (d.leased_until IS NULL OR d.leased_until <= statement_timestamp())
        ORDER BY d.next_attempt_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE p.payment_no = due.payment_no
    RETURNING payment_json(p)
$$;
