-- orphaned_reservations: reserved in Postgres more than two minutes past the deadline: nobody has ended them.
-- Repair: flask ops reconcile --repair
SELECT b.event_id, b.zone_id, b.booking_id, b.user_id, b.quantity, b.deadline, clock_timestamp() - b.deadline AS overdue
FROM booking.bookings AS b
WHERE
    b.status = 'reserved' AND b.deadline < clock_timestamp() - interval '2 minutes'
    AND NOT EXISTS (
        SELECT FROM booking.payments AS p WHERE p.booking_id = b.booking_id AND p.state IN ('intent', 'pending')
    )
ORDER BY b.deadline;
