-- drift: zones of which the stores told different things in their last two photographs: what is on its way is in one only.
-- Seats, Redis less Postgres. Repair: flask ops reconcile --event EVENT --repair
WITH latest AS (
    SELECT
        event_id, zone_id, taken_at, version - postgres_version AS versions, capacity - postgres_capacity AS capacity,
        confirmed - postgres_confirmed AS confirmed, held - postgres_reserved AS held,
        row_number() OVER (PARTITION BY event_id, zone_id ORDER BY taken_at DESC) AS age
    FROM booking.redis_snapshots
)
SELECT a.event_id, a.zone_id, a.taken_at, a.capacity, a.confirmed, a.held, a.versions
FROM latest AS a
JOIN latest AS b USING (event_id, zone_id)
WHERE
    a.age = 1 AND b.age = 2
    AND (
        (a.capacity <> 0 AND b.capacity <> 0) OR (a.confirmed <> 0 AND b.confirmed <> 0) OR (a.held <> 0 AND a.held = b.held)
    )
ORDER BY a.event_id, a.zone_id;
