-- void_ceiling: a cut of capacity that was fenced in Redis and never came: its number is done, so a late commit is refused,
-- and the facts that say so lift the ceiling (rule 3.8). Answers those facts; nothing if the epoch is an older one.
-- Locks: shard (shared), the zone. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.void_ceiling(
    p_shard smallint, p_event_id text, p_zone_id text, p_epoch integer, p_number bigint
) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_zone booking.zones;
BEGIN
    PERFORM lock_shards(ARRAY[p_shard]);
    IF NOT EXISTS (SELECT FROM shards AS s WHERE s.shard = p_shard AND s.epoch = p_epoch) THEN
        RETURN;
    END IF;
    UPDATE zones AS z
    SET ceiling_done = p_number, version = z.version + 1
    WHERE (z.event_id, z.zone_id) = (p_event_id, p_zone_id) AND z.ceiling_done < p_number
    RETURNING z.* INTO v_zone;
    IF FOUND THEN
        PERFORM tell_zone(v_zone, p_shard);
    END IF;
    -- Done before, and Redis has not learned it: the facts once more.
    RETURN QUERY
    SELECT zone_facts(z) FROM zones AS z WHERE (z.event_id, z.zone_id) = (p_event_id, p_zone_id);
END
$$;
