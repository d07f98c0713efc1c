-- acknowledge_outbox: forgets events that Kafka has acknowledged. Answers how many were still there.
-- Locks: the rows. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.acknowledge_outbox(p_ids bigint[]) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    WITH gone AS (DELETE FROM outbox AS o WHERE o.outbox_id = ANY (p_ids) RETURNING 1)
    SELECT count(*) FROM gone
$$;
