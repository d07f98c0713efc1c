-- orphaned_reservations: reserved in Postgres more than two minutes past the deadline: nobody has ended them; and bookings of a
-- zone that does not exist.
-- Repair: flask ops reconcile --repair
SELECT b.event_id, b.zone_id, b.booking_id, b.user_id, b.quantity, b.deadline, clock_timestamp() - b.deadline AS overdue
FROM booking.bookings AS b
WHERE
    (
        b.status = 'reserved' AND b.deadline < statement_timestamp() - interval '2 minutes'
        AND NOT EXISTS (
            SELECT FROM booking.payments AS p WHERE p.booking_id = b.booking_id AND p.state IN ('intent', 'pending')
        )
    )
    OR NOT EXISTS (SELECT FROM booking.zones AS z WHERE (z.event_id, z.zone_id) = (b.event_id, b.zone_id))
ORDER BY b.deadline;
