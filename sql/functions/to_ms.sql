-- to_ms: a point in time as Unix milliseconds, the form in which times travel.
-- Locks: none. Idempotent: pure. Raises: nothing.
-- AT TIME ZONE: immutable with it, and so a part of the query that calls it.
CREATE OR REPLACE FUNCTION booking.to_ms(p_at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT round(date_part('epoch', p_at AT TIME ZONE 'UTC') * 1000)::bigint
$$;
