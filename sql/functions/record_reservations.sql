-- record_reservations: writes down what Redis has promised. Answers how many bookings were new.
-- Locks: shards (shared); bookings by insertion, sorted. Idempotent: yes, an older row stands.
-- Raises: 22*, 23* for an entry that cannot be recorded at all.
CREATE OR REPLACE FUNCTION booking.record_reservations(p_entries jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_entries booking.entry[] := held_entries(p_entries);
    v_fresh booking.bookings[];
BEGIN
    v_fresh := add_bookings(v_entries, 'reserved', 'reserve', p_live_only => false);
    IF cardinality(v_fresh) < cardinality(v_entries) THEN
        -- A beginning that comes late, after the booking's end, still has its row.
        INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
        SELECT e.booking_id, e.epoch, e.version, 'reserved', e.reserved_at, 'reserve'
        FROM unnest(v_entries) AS e
        ORDER BY e.booking_id, e.epoch, e.version
        ON CONFLICT ON CONSTRAINT booking_history_one_row_per_transition DO NOTHING;
    END IF;
    RETURN cardinality(v_fresh);
END
$$;
