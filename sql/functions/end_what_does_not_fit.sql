-- end_what_does_not_fit: ends, the oldest kept, those live reservations of a shard that its capacities and limits have no
-- room for (rule 3.7). Answers how many.
-- Locks: the bookings that end. The caller holds the shard exclusively. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.end_what_does_not_fit(p_shard smallint, p_epoch integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_live record;
    v_booking booking.bookings;
    v_zone_seats jsonb := '{}'::jsonb; -- seats that the walk has kept so far, by zone and by user
    v_user_seats jsonb := '{}'::jsonb;
    v_zone_taken bigint;
    v_user_taken bigint;
    v_ended integer := 0;
BEGIN
    FOR v_live IN
        SELECT l.*
        FROM (
            SELECT
                b.booking_id, b.quantity, z.capacity - z.confirmed_seats AS zone_room,
                greatest(0, e.max_per_user - coalesce(u.confirmed_seats, 0)) AS user_room,
                b.event_id || '/' || b.zone_id AS zone_name, b.event_id || '/' || b.user_id AS user_name,
                sum(b.quantity) OVER (PARTITION BY b.event_id, b.zone_id) AS zone_wants,
                sum(b.quantity) OVER (PARTITION BY b.event_id, b.user_id) AS user_wants
            FROM bookings AS b
            JOIN zones AS z USING (event_id, zone_id)
            JOIN events AS e USING (event_id)
            LEFT JOIN user_seats AS u ON (u.event_id, u.user_id) = (b.event_id, b.user_id)
            WHERE b.shard = p_shard AND b.status = 'reserved'
        ) AS l
        -- Whoever fits with everybody else need not be walked through: that is nearly everybody.
        WHERE l.zone_wants > l.zone_room OR l.user_wants > l.user_room
        ORDER BY l.booking_id
    LOOP
        v_zone_taken := coalesce((v_zone_seats ->> v_live.zone_name)::bigint, 0) + v_live.quantity;
        v_user_taken := coalesce((v_user_seats ->> v_live.user_name)::bigint, 0) + v_live.quantity;
        IF v_zone_taken <= v_live.zone_room AND v_user_taken <= v_live.user_room THEN
            v_zone_seats := v_zone_seats || jsonb_build_object(v_live.zone_name, v_zone_taken);
            v_user_seats := v_user_seats || jsonb_build_object(v_live.user_name, v_user_taken);
        ELSE
            UPDATE bookings AS b
            SET status = 'expired', version = b.version + 1, epoch = p_epoch, ended_at = clock_timestamp(),
                cause = 'rebuild'
            WHERE b.booking_id = v_live.booking_id
            RETURNING b.* INTO v_booking;
            INSERT INTO booking_history (booking_id, epoch, version, status, at, cause)
            VALUES (v_booking.booking_id, p_epoch, v_booking.version, 'expired', v_booking.ended_at, 'rebuild');
            PERFORM tell(v_booking);
            v_ended := v_ended + 1;
        END IF;
    END LOOP;
    RETURN v_ended;
END
$$;
