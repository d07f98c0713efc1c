-- lock_shards: holds each of these shards open for the rest of the transaction: a rebuild of it must wait, and was not
-- under way. Without it a function could read one epoch and write in the next (rule 3.6).
-- Locks: advisory (1, shard), shared, ascending: the first class of rule 3.9. Idempotent: yes. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION booking.lock_shards(p_shards smallint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_shard smallint;
BEGIN
    FOR v_shard IN SELECT DISTINCT s FROM unnest(p_shards) AS s ORDER BY s LOOP
        PERFORM pg_advisory_xact_lock_shared(1, v_shard);
    END LOOP;
END
$$;
