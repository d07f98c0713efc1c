-- tell: one public event into the outbox, in the transaction that makes it true. An ending or a confirmation happens once
-- to a booking, so "<booking>:<type>" is the event's id, and duplicates share it (rule 3.12).
-- Locks: none. Idempotent: no; its callers call it once per transition. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.tell(
    p_booking booking.bookings, p_zone jsonb DEFAULT NULL, p_user jsonb DEFAULT NULL
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    INSERT INTO outbox (ce_id, type, key, shard, data)
    VALUES (
        p_booking.booking_id || ':' || p_booking.status, 'booking.' || p_booking.status, p_booking.booking_id::text,
        p_booking.shard,
        jsonb_strip_nulls(
            jsonb_build_object('booking', booking_json(p_booking), 'zone', p_zone, 'user', p_user)
        )
    )
$$;
