-- drifting_zones: how far apart the stores were at the last photograph of each zone, the farthest first; seats, held and
-- confirmed together. What is on its way counts too.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.drifting_zones(p_limit integer) RETURNS TABLE (
    event_id text, zone_id text, seats bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT z.event_id, z.zone_id, l.seats
    FROM zones AS z
    CROSS JOIN LATERAL (
        SELECT abs(s.confirmed - s.postgres_confirmed) + abs(s.held - s.postgres_reserved) AS seats
        FROM redis_snapshots AS s
        WHERE (s.event_id, s.zone_id) = (z.event_id, z.zone_id)
        ORDER BY s.taken_at DESC
        LIMIT 1
    ) AS l
    WHERE l.seats > 0
    ORDER BY l.seats DESC, z.event_id, z.zone_id
    LIMIT p_limit
$$;
