-- duplicate_bookings: one idempotency key that has made several bookings within the 24 hours for which it counts.
-- Repair: cancel those that are too many; then look for who has written past the functions.
SELECT
    b.event_id, b.user_id, b.idempotency_key, count(*) AS bookings, min(b.reserved_at) AS first_at,
    array_agg(b.booking_id ORDER BY b.reserved_at) AS booking_ids
FROM booking.bookings AS b
WHERE b.idempotency_key IS NOT NULL AND b.cause IS DISTINCT FROM 'rebuild'
GROUP BY b.event_id, b.user_id, b.idempotency_key
HAVING count(*) > 1 AND max(b.reserved_at) - min(b.reserved_at) < interval '24 hours'
ORDER BY first_at;
