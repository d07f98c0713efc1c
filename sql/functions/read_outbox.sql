-- read_outbox: the oldest events that Kafka has not acknowledged. There is no cursor that could pass a row by whose
-- transaction commits late: what is there is unpublished.
-- Locks: none; two relays at once publish twice, under the same ids. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.read_outbox(p_limit integer) RETURNS TABLE (
    outbox_id bigint, ce_id text, type text, key text, shard smallint, data jsonb, at_ms bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT o.outbox_id, o.ce_id, o.type, o.key, o.shard, o.data, to_ms(o.created_at)
    FROM outbox AS o
    ORDER BY o.outbox_id
    LIMIT p_limit
$$;
