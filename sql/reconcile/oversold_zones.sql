-- oversold_zones: more seats confirmed than there are, by the zone's own figures or by its bookings.
-- Repair: none by program; somebody has been sold a seat that is not there. flask ops reconcile tells which figure is wrong.
SELECT z.event_id, z.zone_id, z.capacity, z.confirmed_seats, coalesce(b.seats, 0) AS booked
FROM booking.zones AS z
LEFT JOIN (
    SELECT event_id, zone_id, sum(quantity) AS seats
    FROM booking.bookings
    WHERE status = 'confirmed'
    GROUP BY event_id, zone_id
) AS b USING (event_id, zone_id)
WHERE z.confirmed_seats > z.capacity OR b.seats > z.capacity OR coalesce(b.seats, 0) <> z.confirmed_seats
ORDER BY z.event_id, z.zone_id;
