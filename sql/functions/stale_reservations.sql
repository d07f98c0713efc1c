-- stale_reservations: reservations that are still `reserved` here a minute past their deadline, the oldest first, and the
-- shard's epoch. Redis has ended them long ago, or has forgotten them.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.stale_reservations(p_shard smallint, p_limit integer) RETURNS TABLE (
    epoch integer, booking jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT s.epoch, booking_json(b)
    FROM bookings AS b
    JOIN shards AS s USING (shard)
    WHERE b.shard = p_shard AND b.status = 'reserved' AND b.deadline < statement_timestamp() - interval '60 seconds'
    ORDER BY b.deadline
    LIMIT p_limit
$$;
