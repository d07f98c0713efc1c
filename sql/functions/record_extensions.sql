-- record_extensions: writes down later deadlines. A deadline only moves forward, and only while the reservation stands in
-- the epoch of the extension: Redis has forgotten those of an older one. Answers how many bookings got a later deadline.
-- Locks: shards (shared), bookings, sorted; keys. Idempotent: yes. Raises: 22*, 23* for what cannot be recorded at all.
CREATE OR REPLACE FUNCTION booking.record_extensions(p_entries jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_moved integer;
BEGIN
    PERFORM lock_shards(array_agg(e.shard)) FROM batch_of(p_entries) AS e;
    p_entries := without_purged(p_entries);
    PERFORM insert_bookings(p_entries, 'reserved', 'reserve', p_live_only => false);
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT e.booking_id FROM batch_of(p_entries) AS e)
    ORDER BY b.booking_id FOR UPDATE;
    UPDATE bookings AS b
    SET deadline = l.deadline, version = greatest(b.version, l.version)
    FROM (
        SELECT e.booking_id, max(e.deadline) AS deadline, max(e.version) AS version
        FROM batch_of(p_entries) AS e
        JOIN shards AS s ON s.shard = e.shard AND s.epoch = e.epoch
        GROUP BY e.booking_id
    ) AS l
    WHERE b.booking_id = l.booking_id AND b.status = 'reserved' AND b.deadline < l.deadline;
    GET DIAGNOSTICS v_moved = ROW_COUNT;

    PERFORM claim_idempotency_keys(
        'extend',
        jsonb_agg(
            jsonb_build_object(
                'event_id', e.event_id, 'user_id', e.user_id, 'key', e.verb_key, 'fingerprint', e.verb_fingerprint,
                'booking_id', e.booking_id, 'unit_price_minor', e.unit_price_minor, 'currency', e.currency,
                'deadline', e.deadline, 'at', e.at
            )
        )
    )
    FROM batch_of(p_entries) AS e
    JOIN shards AS s ON s.shard = e.shard AND s.epoch = e.epoch;

    INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
    SELECT e.booking_id, e.epoch, e.version, 'reserved', e.at, 'extend'
    FROM batch_of(p_entries) AS e
    ORDER BY e.booking_id, e.epoch, e.version
    ON CONFLICT ON CONSTRAINT booking_history_one_row_per_transition DO NOTHING;
    PERFORM note_seq(p_entries);
    RETURN v_moved;
END
$$;
