-- add_bookings: gives reservations that have no row yet theirs, with its first line of history and its key. Answers the
-- new rows. What is to be `reserved` but comes from an older epoch comes from a Redis that has forgotten since: it is
-- written as ended, is told, and owns no key (rule 3.6); with p_live_only it gets no row at all.
-- Locks: bookings by insertion, sorted. The caller holds the shards. Idempotent: yes, an older row stands.
-- Raises: 22*, 23* for an entry that cannot be recorded at all; 23503 for one of a zone that does not exist.
CREATE OR REPLACE FUNCTION booking.add_bookings(
    p_entries booking.entry[], p_status text, p_cause text, p_live_only boolean
) RETURNS booking.bookings[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_fresh booking.bookings[];
    v_lost text;
    v_any_ended boolean;
BEGIN
    WITH first AS (
        SELECT DISTINCT ON (e.booking_id) e.*, e.epoch = s.epoch AS live
        FROM unnest(p_entries) AS e
        JOIN shards AS s USING (shard)
        WHERE e.epoch = s.epoch OR NOT p_live_only
        ORDER BY e.booking_id, e.epoch, e.version
    ),
    fresh AS (
        INSERT INTO bookings (
            booking_id, shard, event_id, zone_id, user_id, quantity, unit_price_minor, currency, status, version,
            epoch, reserved_at, deadline, ended_at, cause, idempotency_key, key_fingerprint
        )
        SELECT
            f.booking_id, f.shard, f.event_id, f.zone_id, f.user_id, f.quantity, f.unit_price_minor, f.currency,
            CASE WHEN p_status = 'reserved' AND NOT f.live THEN 'expired' ELSE p_status END,
            CASE WHEN p_status = 'reserved' AND NOT f.live THEN f.version + 1 ELSE f.version END,
            f.epoch, f.reserved_at, f.deadline,
            CASE WHEN p_status <> 'reserved' THEN f.at WHEN NOT f.live THEN clock_timestamp() END,
            CASE WHEN p_status = 'reserved' AND NOT f.live THEN 'rebuild' ELSE p_cause END,
            f.idempotency_key, CASE WHEN f.live AND f.idempotency_key IS NOT NULL THEN f.fingerprint END
        FROM first AS f
        ORDER BY f.booking_id
        ON CONFLICT (booking_id) DO NOTHING
        RETURNING bookings.*
    ),
    -- A reservation's first transition is number 1 of the epoch it was made in, whoever tells of it first. Nobody can have
    -- told of a booking that is new: there is no conflict to look for.
    told AS (
        INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
        SELECT f.booking_id, f.epoch, 1, 'reserved', f.reserved_at, 'reserve' FROM fresh AS f
    ),
    -- In place of a foreign key, which would look at each row by itself: three times the cost.
    lost AS (
        SELECT format('there is no zone %s of event %s', f.zone_id, f.event_id) AS what
        FROM (SELECT DISTINCT fresh.event_id, fresh.zone_id FROM fresh) AS f
        WHERE NOT EXISTS (SELECT FROM zones AS z WHERE (z.event_id, z.zone_id) = (f.event_id, f.zone_id))
    )
    SELECT coalesce(array_agg(fresh::booking.bookings), '{}'), (SELECT min(lost.what) FROM lost),
        bool_or(fresh.cause = 'rebuild')
    INTO v_fresh, v_lost, v_any_ended FROM fresh;
    IF v_lost IS NOT NULL THEN
        RAISE EXCEPTION '%', v_lost USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_any_ended THEN
        -- An end by rebuild is one of the present epoch: the next number of its own is that of a transition which may still
        -- be told.
        INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
        SELECT b.booking_id, s.epoch, b.version, b.status, b.ended_at, b.cause
        FROM unnest(v_fresh) AS b
        JOIN shards AS s USING (shard)
        WHERE b.cause = 'rebuild'
        ORDER BY b.booking_id;
        PERFORM tell(b) FROM unnest(v_fresh) AS b WHERE b.cause = 'rebuild';
    END IF;
    RETURN v_fresh;
END
$$;
