-- record_endings: writes down how reservations ended, before or after their beginning has been recorded. Only what is still
-- reserved ends; a final state stands. Answers how many ended now. Serves record_releases and record_expiries.
-- Locks: shards (shared), bookings, sorted. Idempotent: yes. Raises: 22*, 23* for an entry that cannot be recorded at all.
CREATE OR REPLACE FUNCTION booking.record_endings(p_entries jsonb, p_status text, p_cause text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_fresh booking.bookings[];
    v_ended booking.bookings[];
BEGIN
    PERFORM lock_shards(array_agg(e.shard)) FROM entries_of(p_entries) AS e;
    WITH fresh AS (
        INSERT INTO bookings (
            booking_id, shard, event_id, zone_id, user_id, quantity, unit_price_minor, currency, status, version,
            epoch, reserved_at, deadline, ended_at, cause, idempotency_key
        )
        SELECT
            e.booking_id, e.shard, e.event_id, e.zone_id, e.user_id, e.quantity, e.unit_price_minor, e.currency,
            p_status, e.version, e.epoch, e.reserved_at, e.deadline, e.at, p_cause, e.idempotency_key
        FROM entries_of(p_entries) AS e
        ORDER BY e.booking_id
        ON CONFLICT (booking_id) DO NOTHING
        RETURNING bookings.*
    )
    SELECT coalesce(array_agg(fresh::booking.bookings), '{}') INTO v_fresh FROM fresh;
    -- The keys of an older epoch may have new owners by now (rule 3.6).
    PERFORM claim_keys(p_entries, array_agg(b.booking_id))
    FROM unnest(v_fresh) AS b
    JOIN shards AS s USING (shard)
    WHERE b.epoch = s.epoch;

    -- Closes the race with a confirm of the same booking: the lock first, then the look at its status.
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT e.booking_id FROM entries_of(p_entries) AS e)
    ORDER BY b.booking_id FOR UPDATE;
    WITH ended AS (
        UPDATE bookings AS b
        SET status = p_status, version = greatest(b.version, e.version), ended_at = e.at, cause = p_cause
        FROM entries_of(p_entries) AS e
        WHERE b.booking_id = e.booking_id AND b.status = 'reserved'
        RETURNING b.*
    )
    SELECT v_fresh || coalesce(array_agg(ended::booking.bookings), '{}') INTO v_ended FROM ended;

    -- A transition that comes late, after a final state, still has its row.
    INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
    SELECT e.booking_id, e.epoch, e.version, p_status, e.at, p_cause
    FROM entries_of(p_entries) AS e
    ORDER BY e.booking_id, e.epoch, e.version
    ON CONFLICT ON CONSTRAINT booking_history_one_row_per_transition DO NOTHING;
    PERFORM tell(b) FROM unnest(v_ended) AS b;

    PERFORM note_seq(p_entries);
    RETURN cardinality(v_ended);
END
$$;
