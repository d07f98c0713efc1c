-- negative_inventory: zones of which Redis held less than nothing, or had promised more than there is, when last photographed.
-- Repair: flask ops reconcile --event EVENT --repair
SELECT s.event_id, s.zone_id, s.taken_at, s.capacity, s.confirmed, s.held, s.capacity - s.confirmed - s.held AS available
FROM (
    SELECT DISTINCT ON (event_id, zone_id)
        event_id, zone_id, taken_at, capacity, confirmed, held
    FROM booking.redis_snapshots
    ORDER BY event_id, zone_id, taken_at DESC
) AS s
WHERE s.held < 0 OR s.confirmed < 0 OR s.capacity - s.confirmed - s.held < 0
ORDER BY s.event_id, s.zone_id;
