-- tell_all: what `tell` does, for many bookings that have ended, in one statement.
-- Locks: none. Idempotent: no; its callers call it once per transition. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.tell_all(p_bookings booking.bookings[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    INSERT INTO outbox (ce_id, type, key, shard, data)
    SELECT
        b.booking_id || ':' || b.status, 'booking.' || b.status, b.booking_id::text, b.shard,
        jsonb_build_object('booking', jsonb_strip_nulls(booking_json(b)))
    FROM unnest(p_bookings) AS b;
END
$$;
