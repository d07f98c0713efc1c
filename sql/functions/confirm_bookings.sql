-- confirm_bookings: makes pinned reservations bookings, each with its own outcome: CONFIRMED (again, with the same payment),
-- or a refusal's code. Booking, counts, history and event are one transaction: durable before anybody is told.
-- Locks: shards (shared), bookings, users, zones, each sorted (rule 3.9). Idempotent: yes, by booking and payment.
-- Raises: nothing for a refusal; 23* for what no refusal explains.
CREATE OR REPLACE FUNCTION booking.confirm_bookings(p_pins jsonb) RETURNS TABLE (
    booking_id uuid, outcome text, reason text, booking jsonb, zone jsonb, user_seats jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_pin record;
    v_booking booking.bookings;
    v_zone booking.zones;
    v_user booking.user_seats;
BEGIN
    PERFORM lock_shards(array_agg(p.shard)) FROM batch_of(p_pins) AS p;
    -- A reservation that has not been recorded yet gets its row here: a decision does not wait for the worker.
    PERFORM insert_bookings(p_pins, 'reserved', 'reserve', p_live_only => true);
    -- Closes the race with another confirm, a cancel or a late record of the same booking.
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT p.booking_id FROM batch_of(p_pins) AS p)
    ORDER BY b.booking_id FOR UPDATE;

    INSERT INTO user_seats (event_id, user_id, seats_limit)
    SELECT DISTINCT p.event_id, p.user_id, e.max_per_user
    FROM batch_of(p_pins) AS p
    JOIN events AS e USING (event_id)
    ORDER BY p.event_id, p.user_id
    ON CONFLICT DO NOTHING;
    PERFORM 1 FROM user_seats AS u
    WHERE (u.event_id, u.user_id) IN (SELECT p.event_id, p.user_id FROM batch_of(p_pins) AS p)
    ORDER BY u.event_id, u.user_id FOR UPDATE;
    -- The hot row last, so that it is held for the shortest time; NO KEY lets bookings refer to it meanwhile.
    PERFORM 1 FROM zones AS z
    WHERE (z.event_id, z.zone_id) IN (SELECT p.event_id, p.zone_id FROM batch_of(p_pins) AS p)
    ORDER BY z.event_id, z.zone_id FOR NO KEY UPDATE;

    FOR v_pin IN
        SELECT p.*, s.epoch AS epoch_now, e.max_per_user
        FROM batch_of(p_pins) AS p
        JOIN shards AS s USING (shard)
        LEFT JOIN events AS e USING (event_id) -- it may have been purged: then the pin is of an older epoch
        ORDER BY p.event_id, p.zone_id, p.booking_id
    LOOP
        SELECT b.* INTO v_booking FROM bookings AS b WHERE b.booking_id = v_pin.booking_id;
        SELECT z.* INTO v_zone FROM zones AS z WHERE (z.event_id, z.zone_id) = (v_pin.event_id, v_pin.zone_id);
        SELECT u.* INTO v_user FROM user_seats AS u WHERE (u.event_id, u.user_id) = (v_pin.event_id, v_pin.user_id);
        booking_id := v_pin.booking_id;
        reason := NULL;
        outcome := CASE
            WHEN v_booking.status = 'confirmed' AND v_booking.payment_id IS DISTINCT FROM v_pin.payment_id
                THEN 'ALREADY_CONFIRMED'
            WHEN v_booking.status = 'confirmed' THEN 'CONFIRMED'
            -- A pin of an older epoch, or one that was voided: what it promised may have been sold since.
            WHEN v_pin.epoch <> v_pin.epoch_now OR v_pin.pin <= v_booking.void_pin THEN 'SERVICE_UNAVAILABLE'
            WHEN v_booking.status <> 'reserved' THEN 'RESERVATION_NOT_FOUND'
            WHEN v_zone.confirmed_seats + v_pin.quantity > v_zone.capacity THEN 'INSUFFICIENT_SEATS'
            WHEN v_user.confirmed_seats + v_pin.quantity > v_pin.max_per_user THEN 'MAX_TICKETS_EXCEEDED'
            ELSE 'CONFIRM'
        END;
        IF outcome = 'RESERVATION_NOT_FOUND' THEN
            reason := v_booking.status;
        ELSIF outcome = 'CONFIRM' THEN
            UPDATE zones AS z
            SET confirmed_seats = z.confirmed_seats + v_pin.quantity, version = z.version + 1
            WHERE (z.event_id, z.zone_id) = (v_pin.event_id, v_pin.zone_id)
            RETURNING z.* INTO v_zone;
            UPDATE user_seats AS u
            SET confirmed_seats = u.confirmed_seats + v_pin.quantity, version = u.version + 1,
                seats_limit = v_pin.max_per_user
            WHERE (u.event_id, u.user_id) = (v_pin.event_id, v_pin.user_id)
            RETURNING u.* INTO v_user;
            UPDATE bookings AS b
            SET status = 'confirmed', version = greatest(b.version, v_pin.version) + 1, epoch = v_pin.epoch,
                confirmed_at = clock_timestamp(), confirmation_code = confirmation_code(),
                payment_id = v_pin.payment_id, cause = 'confirm'
            WHERE b.booking_id = v_pin.booking_id
            RETURNING b.* INTO v_booking;
            INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
            VALUES (v_booking.booking_id, v_booking.epoch, v_booking.version, 'confirmed', v_booking.confirmed_at, 'confirm');
            PERFORM tell(v_booking, zone_facts(v_zone), user_facts(v_user));
            outcome := 'CONFIRMED';
        END IF;
        booking := booking_json(v_booking);
        zone := zone_facts(v_zone);
        user_seats := user_facts(v_user);
        RETURN NEXT;
    END LOOP;
END
$$;
