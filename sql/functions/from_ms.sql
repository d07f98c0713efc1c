-- from_ms: Unix milliseconds as a point in time.
-- Locks: none. Idempotent: pure. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.from_ms(p_ms bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(p_ms::double precision / 1000)
$$;
