-- confirm_bookings: makes pinned reservations bookings, each with its own outcome: CONFIRMED (again, with the same payment),
-- or a refusal's code. Booking, counts, history and event are one transaction: durable before anybody is told. What a batch
-- does to a zone or a user is one change of it: one new version, and the same facts in all of its events.
-- Locks: shards (shared), bookings, users, zones, each sorted (rule 3.9). Idempotent: yes, by booking and payment.
-- Raises: nothing for a refusal; 23* for what no refusal explains.
CREATE OR REPLACE FUNCTION booking.confirm_bookings(p_pins jsonb) RETURNS TABLE (
    booking_id uuid, outcome text, reason text, booking jsonb, zone jsonb, user_seats jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp
-- Else a small batch, for which each estimate is low, is planned anew each time: at ten times the cost of doing it.
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_pins booking.entry[] := entries_of(p_pins);
    v_pin record;
    v_zone_seats integer[] := array_fill(0, ARRAY[cardinality(v_pins)]); -- of this batch, by the number of the zone
    v_user_seats integer[] := v_zone_seats;
    v_taken booking.entry[] := ARRAY[]::booking.entry[];
BEGIN
    PERFORM lock_shards(array_agg(DISTINCT p.shard)) FROM unnest(v_pins) AS p;
    -- A reservation that has not been recorded yet gets its row here: a decision does not wait for the worker.
    PERFORM add_bookings(v_pins, 'reserved', 'reserve', p_live_only => true);
    -- Closes the race with another confirm, a cancel or a late record of the same booking.
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT p.booking_id FROM unnest(v_pins) AS p)
    ORDER BY b.booking_id FOR UPDATE;

    INSERT INTO user_seats (event_id, user_id, seats_limit)
    SELECT DISTINCT p.event_id, p.user_id, e.max_per_user
    FROM unnest(v_pins) AS p
    JOIN events AS e USING (event_id)
    ORDER BY p.event_id, p.user_id
    ON CONFLICT DO NOTHING;
    PERFORM 1 FROM user_seats AS u
    WHERE (u.event_id, u.user_id) IN (SELECT p.event_id, p.user_id FROM unnest(v_pins) AS p)
    ORDER BY u.event_id, u.user_id FOR UPDATE;
    -- The hot row last, so that it is held for the shortest time; NO KEY lets bookings refer to it meanwhile.
    PERFORM 1 FROM zones AS z
    WHERE (z.event_id, z.zone_id) IN (SELECT p.event_id, p.zone_id FROM unnest(v_pins) AS p)
    ORDER BY z.event_id, z.zone_id FOR NO KEY UPDATE;

    -- One after the other, as if each came alone: what does not fit leaves its seats to those behind it.
    FOR v_pin IN
        SELECT
            p.pin, b.quantity, z.capacity - z.confirmed_seats AS zone_room,
            -- A look-up, not a join: that would follow the index by the event alone.
            (
                SELECT e.max_per_user - u.confirmed_seats
                FROM user_seats AS u JOIN events AS e USING (event_id)
                WHERE (u.event_id, u.user_id) = (b.event_id, b.user_id)
            ) AS user_room,
            dense_rank() OVER (ORDER BY b.event_id, b.zone_id) AS zone_no,
            dense_rank() OVER (ORDER BY b.event_id, b.user_id) AS user_no
        FROM (
            SELECT DISTINCT ON (e.booking_id) e.booking_id, e AS pin
            FROM unnest(v_pins) AS e
            ORDER BY e.booking_id, e.epoch DESC, e.pin DESC
        ) AS p
        JOIN bookings AS b USING (booking_id)
        JOIN shards AS s ON s.shard = b.shard AND s.epoch = (p.pin).epoch
        JOIN zones AS z USING (event_id, zone_id)
        -- Not `=`: as in record_endings.
        WHERE b.status IS NOT DISTINCT FROM 'reserved' AND (p.pin).pin > b.void_pin
        ORDER BY b.event_id, b.zone_id, b.booking_id
    LOOP
        IF v_zone_seats[v_pin.zone_no] + v_pin.quantity <= v_pin.zone_room
            AND v_user_seats[v_pin.user_no] + v_pin.quantity <= v_pin.user_room
        THEN
            v_zone_seats[v_pin.zone_no] := v_zone_seats[v_pin.zone_no] + v_pin.quantity;
            v_user_seats[v_pin.user_no] := v_user_seats[v_pin.user_no] + v_pin.quantity;
            v_taken := v_taken || v_pin.pin;
        END IF;
    END LOOP;
    IF cardinality(v_taken) > 0 THEN
        PERFORM confirm_taken(v_taken);
    END IF;

    RETURN QUERY
    WITH facts AS MATERIALIZED ( -- once a zone, not once a booking
        SELECT z.event_id, z.zone_id, z.capacity - z.confirmed_seats AS room, zone_facts(z) AS facts
        FROM zones AS z
        WHERE (z.event_id, z.zone_id) IN (SELECT p.event_id, p.zone_id FROM unnest(v_pins) AS p)
    )
    SELECT
        p.booking_id,
        CASE
            WHEN b.status = 'confirmed' AND b.payment_id IS DISTINCT FROM p.payment_id THEN 'ALREADY_CONFIRMED'
            WHEN b.status = 'confirmed' THEN 'CONFIRMED'
            -- A pin of an older epoch, or one that was voided: what it promised may have been sold since.
            WHEN p.epoch <> s.epoch OR p.pin <= b.void_pin THEN 'SERVICE_UNAVAILABLE'
            WHEN b.status <> 'reserved' THEN 'RESERVATION_NOT_FOUND'
            WHEN f.room < b.quantity THEN 'INSUFFICIENT_SEATS'
            ELSE 'MAX_TICKETS_EXCEEDED'
        END,
        CASE WHEN b.status NOT IN ('reserved', 'confirmed') THEN b.status END,
        booking_json(b),
        f.facts,
        (SELECT user_facts(u) FROM user_seats AS u WHERE (u.event_id, u.user_id) = (p.event_id, p.user_id))
    FROM unnest(v_pins) AS p
    JOIN shards AS s USING (shard)
    LEFT JOIN bookings AS b ON b.booking_id = p.booking_id
    LEFT JOIN facts AS f ON (f.event_id, f.zone_id) = (p.event_id, p.zone_id); -- none where the event was purged
END
$$;
