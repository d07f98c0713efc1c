-- settle_bookings: decides pins whose confirmation never came: CONFIRMED stays, anything else ends here, recorded before
-- Redis gives the seats back, so that a late confirm is refused (rule 3.3). UNDECIDED: the pin is of an older epoch, or a
-- payment is open and the saga will know. VOIDED: the pin alone is void (a payment was declined): Redis takes it back, and
-- the reservation stands until its deadline.
-- Locks: shards (shared), bookings, sorted. Idempotent: yes. Raises: 23503 for a zone that does not exist.
CREATE OR REPLACE FUNCTION booking.settle_bookings(p_pins jsonb) RETURNS TABLE (
    booking_id uuid, outcome text, reason text, booking jsonb, zone jsonb, user_seats jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_pin record;
    v_booking booking.bookings;
    v_paying boolean;
BEGIN
    PERFORM lock_shards(array_agg(p.shard)) FROM batch_of(p_pins) AS p;
    -- A reservation that has not been recorded yet gets its row here: a decision does not wait for the worker.
    PERFORM add_bookings(entries_of(p_pins), 'reserved', 'reserve', p_live_only => true);
    -- Closes the race with another confirm, a cancel or a late record of the same booking.
    PERFORM 1 FROM bookings AS b
    WHERE b.booking_id IN (SELECT p.booking_id FROM batch_of(p_pins) AS p)
    ORDER BY b.booking_id FOR UPDATE;
    FOR v_pin IN
        SELECT p.*, s.epoch AS epoch_now
        FROM batch_of(p_pins) AS p
        JOIN shards AS s USING (shard)
        ORDER BY p.booking_id
    LOOP
        SELECT b.* INTO v_booking FROM bookings AS b WHERE b.booking_id = v_pin.booking_id;
        v_paying := v_booking.status = 'reserved' AND EXISTS (
            SELECT FROM payments AS p WHERE p.booking_id = v_pin.booking_id AND p.state IN ('intent', 'pending')
        );
        outcome := CASE
            WHEN v_pin.epoch <> v_pin.epoch_now OR v_paying THEN 'UNDECIDED'
            WHEN v_booking.status = 'confirmed' THEN 'CONFIRMED'
            WHEN v_booking.status = 'reserved' AND v_pin.pin BETWEEN 1 AND v_booking.void_pin THEN 'VOIDED'
            ELSE 'ENDED'
        END;
        IF outcome = 'ENDED' AND v_booking.status = 'reserved' THEN
            UPDATE bookings AS b
            SET status = 'expired', version = greatest(b.version, v_pin.version) + 1, epoch = v_pin.epoch,
                ended_at = clock_timestamp(), cause = 'unconfirmed'
            WHERE b.booking_id = v_pin.booking_id
            RETURNING b.* INTO v_booking;
            INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
            VALUES (v_booking.booking_id, v_booking.epoch, v_booking.version, 'expired', v_booking.ended_at, 'unconfirmed');
            PERFORM tell(v_booking);
        END IF;
        booking_id := v_pin.booking_id;
        reason := v_booking.status;
        booking := booking_json(v_booking);
        SELECT zone_facts(z) INTO zone FROM zones AS z WHERE (z.event_id, z.zone_id) = (v_pin.event_id, v_pin.zone_id);
        SELECT user_facts(u) INTO user_seats FROM user_seats AS u
        WHERE (u.event_id, u.user_id) = (v_pin.event_id, v_pin.user_id);
        RETURN NEXT;
    END LOOP;
END
$$;
