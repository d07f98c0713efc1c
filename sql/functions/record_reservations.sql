-- record_reservations: writes down what Redis has promised. Answers how many bookings were new.
-- Locks: shards (shared); bookings and keys by insertion, sorted. Idempotent: yes, an older row stands.
-- Raises: 22*, 23* for an entry that cannot be recorded at all.
CREATE OR REPLACE FUNCTION booking.record_reservations(p_entries jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_fresh booking.bookings[];
BEGIN
    -- Closes the race with a rebuild: the epoch that decides liveness cannot move before this commits.
    PERFORM lock_shards(array_agg(e.shard)) FROM batch_of(p_entries) AS e;
    p_entries := without_purged(p_entries);
    v_fresh := insert_bookings(p_entries, 'reserved', 'reserve', p_live_only => false);
    -- A beginning that comes late, after the booking's end, still has its row.
    INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
    SELECT e.booking_id, e.epoch, e.version, 'reserved', e.reserved_at, 'reserve'
    FROM batch_of(p_entries) AS e
    ORDER BY e.booking_id, e.epoch, e.version
    ON CONFLICT ON CONSTRAINT booking_history_one_row_per_transition DO NOTHING;
    PERFORM note_seq(p_entries);
    RETURN cardinality(v_fresh);
END
$$;
