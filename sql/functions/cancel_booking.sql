-- cancel_booking: takes a confirmed booking back: its seats are on sale again, once, and what was paid is to be refunded.
-- Outcome CANCELLED (again: the same), or RESERVATION_NOT_FOUND with the status as its reason (none: no such booking, or
-- another's).
-- Locks: shard (shared), booking, payment, user, zone. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.cancel_booking(p_booking_id uuid, p_user_id text, p_reason text) RETURNS TABLE (
    booking_id uuid, outcome text, reason text, booking jsonb, zone jsonb, user_seats jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_booking booking.bookings;
    v_zone booking.zones;
    v_user booking.user_seats;
BEGIN
    PERFORM lock_shards(ARRAY[shard_of(p_booking_id)]);
    booking_id := p_booking_id;
    outcome := 'RESERVATION_NOT_FOUND';
    SELECT b.* INTO v_booking FROM bookings AS b
    WHERE b.booking_id = p_booking_id AND b.user_id = p_user_id FOR UPDATE;
    IF NOT FOUND OR v_booking.status NOT IN ('confirmed', 'cancelled') THEN
        reason := v_booking.status;
        RETURN NEXT;
        RETURN;
    END IF;
    outcome := 'CANCELLED';
    PERFORM move_payment(p.payment_no, 'refunding', 'the booking was cancelled', NULL)
    FROM (
        SELECT c.payment_no FROM payments AS c WHERE c.booking_id = p_booking_id AND c.state = 'captured' FOR UPDATE
    ) AS p;
    SELECT u.* INTO v_user FROM user_seats AS u
    WHERE (u.event_id, u.user_id) = (v_booking.event_id, v_booking.user_id) FOR UPDATE;
    SELECT z.* INTO v_zone FROM zones AS z
    WHERE (z.event_id, z.zone_id) = (v_booking.event_id, v_booking.zone_id) FOR NO KEY UPDATE;
    IF v_booking.status = 'confirmed' THEN
        UPDATE user_seats AS u
        SET confirmed_seats = u.confirmed_seats - v_booking.quantity, version = u.version + 1
        WHERE (u.event_id, u.user_id) = (v_user.event_id, v_user.user_id)
        RETURNING u.* INTO v_user;
        UPDATE zones AS z
        SET confirmed_seats = z.confirmed_seats - v_booking.quantity, version = z.version + 1
        WHERE (z.event_id, z.zone_id) = (v_zone.event_id, v_zone.zone_id)
        RETURNING z.* INTO v_zone;
        UPDATE bookings AS b
        SET status = 'cancelled', version = b.version + 1, ended_at = clock_timestamp(), cause = 'cancel',
            cancel_reason = p_reason
        WHERE b.booking_id = p_booking_id
        RETURNING b.* INTO v_booking;
        INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
        VALUES (p_booking_id, v_booking.epoch, v_booking.version, 'cancelled', v_booking.ended_at, 'cancel');
        PERFORM tell(v_booking, zone_facts(v_zone), user_facts(v_user));
    END IF;
    booking := booking_json(v_booking);
    zone := zone_facts(v_zone);
    user_seats := user_facts(v_user);
    RETURN NEXT;
END
$$;
