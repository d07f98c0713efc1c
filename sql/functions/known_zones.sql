-- known_zones: what a shard of Redis must know: how far it has been recorded in this epoch, and its zones, each as
-- ["<event>/<zone>", version, capacity, confirmed, price]. One that was opened a moment ago may still be on its way.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.known_zones(p_shard smallint) RETURNS TABLE (
    epoch integer, highest_seq bigint, zones jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT
        s.epoch, s.highest_seq,
        (
            SELECT coalesce(
                jsonb_agg(
                    jsonb_build_array(
                        z.event_id || '/' || z.zone_id, z.version, z.capacity, z.confirmed_seats, z.price_minor
                    )
                    ORDER BY z.event_id, z.zone_id
                ),
                '[]'
            )
            FROM events AS e JOIN zones AS z USING (event_id)
            WHERE e.shard = s.shard AND z.created_at < statement_timestamp() - interval '10 seconds'
        )
    FROM shards AS s
    WHERE s.shard = p_shard
$$;
