-- shard_of: the shard that a booking id carries in bits 52 to 63 (RFC 9562, version 8; app/domain/ids.py mints it).
-- Locks: none. Idempotent: pure. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.shard_of(p_booking_id uuid) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || substr(p_booking_id::text, 16, 3))::bit(12)::integer::smallint
$$;
