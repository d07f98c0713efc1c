-- record_reservations: writes down what Redis has promised. Answers how many bookings were new.
-- An entry of an older epoch comes from a Redis that has forgotten since: it is written as ended, and owns no key (rule 3.6).
-- Locks: shards (shared); bookings and keys by insertion, sorted. Idempotent: yes, an older row stands.
-- Raises: 22*, 23* for an entry that cannot be recorded at all.
CREATE OR REPLACE FUNCTION booking.record_reservations(p_entries jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_fresh booking.bookings[];
BEGIN
    -- Closes the race with a rebuild: the epoch that decides liveness cannot move before this commits.
    PERFORM lock_shards(array_agg(e.shard)) FROM entries_of(p_entries) AS e;
    WITH fresh AS (
        INSERT INTO bookings (
            booking_id, shard, event_id, zone_id, user_id, quantity, unit_price_minor, currency, status, version,
            epoch, reserved_at, deadline, ended_at, cause, idempotency_key
        )
        SELECT
            e.booking_id, e.shard, e.event_id, e.zone_id, e.user_id, e.quantity, e.unit_price_minor, e.currency,
            CASE WHEN e.epoch = s.epoch THEN 'reserved' ELSE 'expired' END,
            CASE WHEN e.epoch = s.epoch THEN e.version ELSE e.version + 1 END,
            e.epoch, e.reserved_at, e.deadline,
            CASE WHEN e.epoch = s.epoch THEN NULL ELSE clock_timestamp() END,
            CASE WHEN e.epoch = s.epoch THEN 'reserve' ELSE 'rebuild' END,
            e.idempotency_key
        FROM entries_of(p_entries) AS e
        JOIN shards AS s USING (shard)
        ORDER BY e.booking_id
        ON CONFLICT (booking_id) DO NOTHING
        RETURNING bookings.*
    )
    SELECT coalesce(array_agg(fresh::booking.bookings), '{}') INTO v_fresh FROM fresh;

    PERFORM claim_keys(p_entries, array_agg(b.booking_id)) FROM unnest(v_fresh) AS b WHERE b.status = 'reserved';

    INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
    SELECT e.booking_id, e.epoch, e.version, 'reserved', e.reserved_at, 'reserve'
    FROM entries_of(p_entries) AS e
    UNION ALL
    SELECT b.booking_id, b.epoch, b.version, b.status, b.ended_at, b.cause
    FROM unnest(v_fresh) AS b
    WHERE b.status = 'expired'
    ORDER BY 1, 2, 3
    ON CONFLICT ON CONSTRAINT booking_history_one_row_per_transition DO NOTHING;
    PERFORM tell(b) FROM unnest(v_fresh) AS b WHERE b.status = 'expired';

    PERFORM note_seq(p_entries);
    RETURN cardinality(v_fresh);
END
$$;
