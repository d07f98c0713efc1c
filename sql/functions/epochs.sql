-- epochs: the epoch of every shard; Redis sells only at these.
-- Locks: none: a rebuild under way raises the epoch at its commit. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.epochs() RETURNS TABLE (shard smallint, epoch integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT s.shard, s.epoch FROM shards AS s ORDER BY s.shard
$$;
