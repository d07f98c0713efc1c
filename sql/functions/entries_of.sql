-- entries_of: a batch from Redis, entries of an outbox or pins, read once. One shape serves both: what an entry lacks is
-- null.
-- Locks: none. Idempotent: pure. Raises: 22P02 and its like for what is not of this shape.
CREATE OR REPLACE FUNCTION booking.entries_of(p_entries jsonb) RETURNS booking.entry[]
LANGUAGE plpgsql STABLE SET search_path = booking, pg_temp AS $$
BEGIN
    RETURN (SELECT coalesce(array_agg(e::entry), '{}') FROM batch_of(p_entries) AS e);
END
$$;
