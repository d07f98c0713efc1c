-- confirm_taken: confirms reservations for which there is room: counts, bookings, history and events. A part of
-- confirm_bookings.
-- Locks: none; the caller holds the shards, bookings, users and zones, and has counted. Idempotent: no. Raises: 23514 where
-- the caller has counted wrong.
CREATE OR REPLACE FUNCTION booking.confirm_taken(p_pins booking.entry[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_confirmed booking.bookings[];
BEGIN
    WITH confirmed AS (
        UPDATE bookings AS b
        SET status = 'confirmed', version = greatest(b.version, p.version) + 1, epoch = p.epoch,
            confirmed_at = clock_timestamp(), confirmation_code = confirmation_code(),
            payment_id = p.payment_id, cause = 'confirm'
        FROM unnest(p_pins) AS p
        WHERE b.booking_id = p.booking_id
        RETURNING b.*
    )
    SELECT array_agg(c::booking.bookings ORDER BY c.booking_id) INTO v_confirmed FROM confirmed AS c;

    UPDATE zones AS z
    SET confirmed_seats = z.confirmed_seats + c.seats, version = z.version + 1
    FROM (
        SELECT b.event_id, b.zone_id, sum(b.quantity) AS seats FROM unnest(v_confirmed) AS b GROUP BY b.event_id, b.zone_id
    ) AS c
    WHERE (z.event_id, z.zone_id) = (c.event_id, c.zone_id);
    UPDATE user_seats AS u
    SET confirmed_seats = u.confirmed_seats + c.seats, version = u.version + 1, seats_limit = c.seats_limit
    FROM (
        SELECT
            b.event_id, b.user_id, sum(b.quantity) AS seats,
            (SELECT e.max_per_user FROM events AS e WHERE e.event_id = b.event_id) AS seats_limit
        FROM unnest(v_confirmed) AS b
        GROUP BY b.event_id, b.user_id
    ) AS c
    WHERE (u.event_id, u.user_id) = (c.event_id, c.user_id);

    INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
    SELECT b.booking_id, b.epoch, b.version, 'confirmed', b.confirmed_at, 'confirm' FROM unnest(v_confirmed) AS b;
    WITH facts AS MATERIALIZED ( -- once a zone, not once a booking
        SELECT z.event_id, z.zone_id, zone_facts(z) AS facts
        FROM zones AS z
        WHERE (z.event_id, z.zone_id) IN (SELECT b.event_id, b.zone_id FROM unnest(v_confirmed) AS b)
    )
    INSERT INTO outbox (ce_id, type, key, shard, data)
    SELECT
        b.booking_id || ':confirmed', 'booking.confirmed', b.booking_id::text, b.shard,
        jsonb_build_object(
            'booking', jsonb_strip_nulls(booking_json(b)), 'zone', f.facts,
            -- A look-up, not a join: that would follow the index by the event alone.
            'user', (
                SELECT user_facts(u) FROM user_seats AS u WHERE (u.event_id, u.user_id) = (b.event_id, b.user_id)
            )
        )
    FROM unnest(v_confirmed) AS b
    JOIN facts AS f USING (event_id, zone_id);
END
$$;
