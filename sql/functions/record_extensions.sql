-- record_extensions: writes down later deadlines. A deadline only moves forward, and only while the reservation stands in
-- the epoch of the extension: Redis has forgotten those of an older one. Answers how many bookings got a later deadline.
-- Locks: shards (shared), bookings, sorted; keys. Idempotent: yes. Raises: 22*, 23* for what cannot be recorded at all.
CREATE OR REPLACE FUNCTION booking.record_extensions(p_entries jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_entries booking.entry[] := held_entries(p_entries);
    v_moved integer;
BEGIN
    PERFORM add_bookings(v_entries, 'reserved', 'reserve', p_live_only => false);
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT e.booking_id FROM unnest(v_entries) AS e)
    ORDER BY b.booking_id FOR UPDATE;
    UPDATE bookings AS b
    SET deadline = l.deadline, promised = coalesce(b.promised, b.deadline), version = greatest(b.version, l.version)
    FROM (
        SELECT e.booking_id, max(e.deadline) AS deadline, max(e.version) AS version
        FROM unnest(v_entries) AS e
        JOIN shards AS s ON s.shard = e.shard AND s.epoch = e.epoch
        GROUP BY e.booking_id
    ) AS l
    -- Not `=`: where few were reserved when statistics were taken, the index of those would be read through, once an entry.
    WHERE b.booking_id = l.booking_id AND b.status IS NOT DISTINCT FROM 'reserved' AND b.deadline < l.deadline;
    GET DIAGNOSTICS v_moved = ROW_COUNT;

    PERFORM claim_extensions(array_agg(e::booking.entry))
    FROM unnest(v_entries) AS e
    JOIN shards AS s ON s.shard = e.shard AND s.epoch = e.epoch;

    INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
    SELECT e.booking_id, e.epoch, e.version, 'reserved', e.at, 'extend'
    FROM unnest(v_entries) AS e
    ORDER BY e.booking_id, e.epoch, e.version
    ON CONFLICT ON CONSTRAINT booking_history_one_row_per_transition DO NOTHING;
    RETURN v_moved;
END
$$;
