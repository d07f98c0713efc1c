-- to_ms: a point in time as Unix milliseconds, the form in which times travel.
-- Locks: none. Idempotent: pure. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.to_ms(p_at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT round(extract(epoch FROM p_at) * 1000)::bigint
$$;
