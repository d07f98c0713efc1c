-- end_what_does_not_fit: ends those live reservations of a shard that its capacities and limits have no room for. What has
-- an open payment is kept before all others, then the oldest; whatever is past its deadline goes first (rule 3.7). Answers
-- how many ended.
-- Locks: the bookings that end. The caller holds the shard exclusively. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.end_what_does_not_fit(p_shard smallint, p_epoch integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_live record;
    v_booking booking.bookings;
    v_count integer;
    v_zone_seats bigint[]; -- seats that the walk has kept so far, by the number of the zone and of the user
    v_user_seats bigint[];
    v_ended integer := 0;
BEGIN
    -- No more numbers than reservations. Arrays of a known length are changed in place: the walk is linear.
    SELECT count(*) INTO v_count FROM bookings AS b WHERE b.shard = p_shard AND b.status = 'reserved';
    v_zone_seats := array_fill(0::bigint, ARRAY[v_count + 1]);
    v_user_seats := array_fill(0::bigint, ARRAY[v_count + 1]);
    FOR v_live IN
        SELECT l.*
        FROM (
            SELECT
                b.booking_id, b.quantity, b.reserved_at, b.deadline <= statement_timestamp() AS due,
                EXISTS (
                    SELECT FROM payments AS p WHERE p.booking_id = b.booking_id AND p.state IN ('intent', 'pending')
                ) AS paying,
                z.capacity - z.confirmed_seats AS zone_room,
                greatest(0, e.max_per_user - coalesce(u.confirmed_seats, 0)) AS user_room,
                dense_rank() OVER (ORDER BY b.event_id, b.zone_id) AS zone_no,
                dense_rank() OVER (ORDER BY b.event_id, b.user_id) AS user_no,
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
        ORDER BY l.paying DESC, l.due, l.reserved_at, l.booking_id
    LOOP
        IF v_zone_seats[v_live.zone_no] + v_live.quantity <= v_live.zone_room
            AND v_user_seats[v_live.user_no] + v_live.quantity <= v_live.user_room
        THEN
            v_zone_seats[v_live.zone_no] := v_zone_seats[v_live.zone_no] + v_live.quantity;
            v_user_seats[v_live.user_no] := v_user_seats[v_live.user_no] + v_live.quantity;
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
