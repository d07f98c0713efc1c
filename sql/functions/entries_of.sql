-- entries_of: a batch from Redis, read once. Pins are objects by name (batch_of). Entries of an outbox are arrays by position,
-- as app/stores/recorder.py writes them: read in half the time. What an entry lacks is null.
-- Locks: none. Idempotent: pure. Raises: 22P02 and its like for what is not of this shape.
CREATE OR REPLACE FUNCTION booking.entries_of(p_entries jsonb) RETURNS booking.entry[]
LANGUAGE plpgsql STABLE SET search_path = booking, pg_temp AS $$
BEGIN
    IF jsonb_typeof(p_entries -> 0) = 'array' THEN
        RETURN (
            SELECT array_agg((
                (e ->> 0)::uuid, shard_of((e ->> 0)::uuid), e ->> 1, e ->> 2, e ->> 3, (e ->> 4)::integer,
                (e ->> 5)::bigint, e ->> 6, from_ms((e ->> 7)::bigint), from_ms((e ->> 8)::bigint), (e ->> 9)::integer,
                from_ms((e ->> 10)::bigint), nullif(e ->> 11, ''), e ->> 12, split_part(e ->> 13, '-', 1)::integer,
                split_part(e ->> 13, '-', 2)::bigint, null::integer, null::text, e ->> 14, e ->> 15
            )::entry)
            FROM jsonb_array_elements(p_entries) AS e
        );
    END IF;
    RETURN (SELECT coalesce(array_agg(e::entry), '{}') FROM batch_of(p_entries) AS e);
END
$$;
