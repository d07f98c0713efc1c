-- receive_payment_event: what a provider tells by itself, written down once; whether it was new. It is taken as a hint to ask:
-- what came twice, late, in another order or of somebody else's payment changes nothing. What is older than 30 days goes.
-- Locks: the payment. Idempotent: yes, by source and message. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.receive_payment_event(
    p_source text, p_message_id text, p_type text, p_attempt_id uuid, p_reference text, p_succeeded boolean, p_payload jsonb
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_payment_no bigint;
BEGIN
    DELETE FROM payment_inbox AS i
    WHERE i.inbox_id IN (
        SELECT o.inbox_id FROM payment_inbox AS o
        WHERE o.received_at < statement_timestamp() - interval '30 days'
        ORDER BY o.received_at
        LIMIT 10
        FOR UPDATE SKIP LOCKED
    );
    SELECT p.payment_no INTO v_payment_no FROM payments AS p
    WHERE p.attempt_id = p_attempt_id OR p.reference = p_reference
    ORDER BY p.payment_no DESC
    LIMIT 1
    FOR UPDATE; -- before the reference to it below, which takes a weaker lock: two words at once would wait for each other
    INSERT INTO payment_inbox (source, message_id, type, payment_no, payload)
    VALUES (p_source, p_message_id, p_type, v_payment_no, p_payload)
    ON CONFLICT ON CONSTRAINT payment_inbox_once DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM doubt_payment(v_payment_no, p_succeeded, p_source || ' told: ' || p_type);
    RETURN true;
END
$$;
