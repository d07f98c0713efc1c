-- recount_zone: a zone's confirmed seats are what its bookings say, and its users' as well; with new versions, so that Redis
-- learns them. For figures that somebody has edited: no function lets them differ. Answers the facts; nothing if all agreed.
-- Locks: shard (shared), the event's users, the zone. Idempotent: yes. Raises: 23514 zones_never_oversold,
-- user_seats_within_limit.
CREATE OR REPLACE FUNCTION booking.recount_zone(p_shard smallint, p_event_id text, p_zone_id text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_zone booking.zones;
BEGIN
    PERFORM lock_shards(ARRAY[p_shard]);
    -- Whoever confirms or cancels takes the users before the zone: with both held nobody can be in between.
    PERFORM 1 FROM user_seats AS u WHERE u.event_id = p_event_id ORDER BY u.user_id FOR UPDATE;
    PERFORM 1 FROM zones AS z WHERE (z.event_id, z.zone_id) = (p_event_id, p_zone_id) FOR UPDATE;
    UPDATE user_seats AS u
    SET confirmed_seats = c.seats, version = u.version + 1
    FROM (
        SELECT o.user_id, coalesce(sum(b.quantity), 0) AS seats
        FROM user_seats AS o
        LEFT JOIN bookings AS b
            ON (b.event_id, b.user_id, b.status) = (o.event_id, o.user_id, 'confirmed')
        WHERE o.event_id = p_event_id
        GROUP BY o.user_id
    ) AS c
    WHERE (u.event_id, u.user_id) = (p_event_id, c.user_id) AND u.confirmed_seats <> c.seats;
    UPDATE zones AS z
    SET confirmed_seats = c.seats, version = z.version + 1
    FROM (
        SELECT coalesce(sum(b.quantity), 0) AS seats
        FROM bookings AS b
        WHERE (b.event_id, b.zone_id, b.status) = (p_event_id, p_zone_id, 'confirmed')
    ) AS c
    WHERE (z.event_id, z.zone_id) = (p_event_id, p_zone_id) AND z.confirmed_seats <> c.seats
    RETURNING z.* INTO v_zone;
    IF FOUND THEN
        PERFORM tell_zone(v_zone, p_shard);
        RETURN NEXT zone_facts(v_zone);
    END IF;
END
$$;
