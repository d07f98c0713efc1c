-- record_endings: writes down how reservations ended, before or after their beginning has been recorded. Only what is
-- still reserved ends; a final state stands. Answers how many ended now. Serves record_releases and record_expiries.
-- Locks: shards (shared), bookings, sorted. Idempotent: yes. Raises: 22*, 23* for what cannot be recorded at all.
CREATE OR REPLACE FUNCTION booking.record_endings(p_entries jsonb, p_status text, p_cause text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_entries booking.entry[] := held_entries(p_entries);
    v_ended booking.bookings[];
BEGIN
    v_ended := add_bookings(v_entries, p_status, p_cause, p_live_only => false);
    -- Closes the race with a confirm of the same booking: the lock first, then the look at its status.
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT e.booking_id FROM unnest(v_entries) AS e)
    ORDER BY b.booking_id FOR UPDATE;
    WITH first AS (
        SELECT DISTINCT ON (e.booking_id) e.*
        FROM unnest(v_entries) AS e
        ORDER BY e.booking_id, e.epoch, e.version
    ),
    ended AS (
        UPDATE bookings AS b
        SET status = p_status, version = greatest(b.version, l.version), ended_at = l.at, cause = p_cause
        FROM first AS l
        -- Not `=`: where few were reserved when statistics were taken, the index of those would be read through, once an entry.
        WHERE b.booking_id = l.booking_id AND b.status IS NOT DISTINCT FROM 'reserved'
        RETURNING b.*
    )
    SELECT v_ended || coalesce(array_agg(ended::booking.bookings), '{}') INTO v_ended FROM ended;

    -- A transition that comes late, after a final state, still has its row.
    INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
    SELECT e.booking_id, e.epoch, e.version, p_status, e.at, p_cause
    FROM unnest(v_entries) AS e
    ORDER BY e.booking_id, e.epoch, e.version
    ON CONFLICT ON CONSTRAINT booking_history_one_row_per_transition DO NOTHING;
    PERFORM tell_all(v_ended);
    RETURN cardinality(v_ended);
END
$$;
