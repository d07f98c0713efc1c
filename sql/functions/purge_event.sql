-- purge_event: removes a sandbox event and all that it left, and remembers that it was there. Answers how many bookings went.
-- The caller takes the shard's image in the same transaction (shard_image raises the epoch): what was pinned before is of an
-- older epoch and confirms nothing, and Redis is filled anew without the event. For holdfast_operator alone.
-- Locks: shard, exclusive: nobody writes for the event meanwhile. Idempotent: yes. Raises: SE403 for an event that is no
-- sandbox.
CREATE OR REPLACE FUNCTION booking.purge_event(p_shard smallint, p_event_id text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_bookings integer;
BEGIN
    IF NOT is_sandbox(p_event_id) THEN
        RAISE EXCEPTION 'FORBIDDEN'
            USING ERRCODE = 'SE403', DETAIL = format('%s is no sandbox event', p_event_id);
    END IF;
    PERFORM pg_advisory_xact_lock(1, p_shard);

    DELETE FROM payment_inbox AS i
    USING payments AS p JOIN bookings AS b USING (booking_id)
    WHERE i.payment_no = p.payment_no AND b.event_id = p_event_id;
    DELETE FROM payment_steps AS s
    USING payments AS p JOIN bookings AS b USING (booking_id)
    WHERE s.payment_no = p.payment_no AND b.event_id = p_event_id;
    DELETE FROM payments AS p USING bookings AS b WHERE p.booking_id = b.booking_id AND b.event_id = p_event_id;
    DELETE FROM booking_history AS h USING bookings AS b WHERE h.booking_id = b.booking_id AND b.event_id = p_event_id;
    DELETE FROM outbox AS o
    WHERE o.shard = p_shard AND p_event_id IN (o.data #>> '{booking,event_id}', o.data #>> '{zone,event_id}');
    DELETE FROM idempotency_keys AS k WHERE k.event_id = p_event_id;
    DELETE FROM bookings AS b WHERE b.event_id = p_event_id;
    GET DIAGNOSTICS v_bookings = ROW_COUNT;
    DELETE FROM user_seats AS u WHERE u.event_id = p_event_id;
    DELETE FROM zones AS z WHERE z.event_id = p_event_id;
    DELETE FROM events AS e WHERE e.event_id = p_event_id;
    DELETE FROM redis_snapshots AS s WHERE s.event_id = p_event_id;

    DELETE FROM purged_events AS p WHERE p.purged_at < statement_timestamp() - interval '30 days';
    INSERT INTO purged_events (event_id, shard) VALUES (p_event_id, p_shard)
    ON CONFLICT (event_id) DO UPDATE SET purged_at = excluded.purged_at;
    RETURN v_bookings;
END
$$;
