-- insert_pinned: gives pins whose reservation has not been recorded yet their row, so that a decision does not wait for
-- the worker. Pins of an older epoch get none: they are refused. Serves confirm_bookings and settle_bookings.
-- Locks: bookings and keys by insertion, sorted, then the batch's bookings, sorted. The caller holds the shards.
-- Idempotent: yes. Raises: 23503 for a zone that does not exist.
CREATE OR REPLACE FUNCTION booking.insert_pinned(p_pins jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_fresh uuid[];
BEGIN
    WITH fresh AS (
        INSERT INTO bookings (
            booking_id, shard, event_id, zone_id, user_id, quantity, unit_price_minor, currency, status, version,
            epoch, reserved_at, deadline, cause, idempotency_key
        )
        SELECT
            p.booking_id, p.shard, p.event_id, p.zone_id, p.user_id, p.quantity, p.unit_price_minor, p.currency,
            'reserved', p.version, p.epoch, p.reserved_at, p.deadline, 'reserve', p.idempotency_key
        FROM entries_of(p_pins) AS p
        JOIN shards AS s ON s.shard = p.shard AND s.epoch = p.epoch
        ORDER BY p.booking_id
        ON CONFLICT (booking_id) DO NOTHING
        RETURNING bookings.booking_id
    )
    SELECT array_agg(fresh.booking_id) INTO v_fresh FROM fresh;
    PERFORM claim_keys(p_pins, v_fresh);

    -- Closes the race with another confirm, a cancel or a late record of the same booking.
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT p.booking_id FROM entries_of(p_pins) AS p)
    ORDER BY b.booking_id FOR UPDATE;
END
$$;
