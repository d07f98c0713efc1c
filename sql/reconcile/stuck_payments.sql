-- stuck_payments: payments whose outcome is not known, or whose refund is not done, two minutes after they began.
-- Repair: see that a worker runs and that the provider answers; the saga asks again by itself.
SELECT
    p.payment_no, p.booking_id, b.status AS booking, p.state, p.amount_minor, p.currency, p.attempts, p.last_error,
    clock_timestamp() - p.created_at AS age
FROM booking.payments AS p
LEFT JOIN booking.bookings AS b USING (booking_id)
WHERE
    (p.state IN ('intent', 'pending', 'refunding') AND p.created_at < clock_timestamp() - interval '2 minutes')
    OR (p.state = 'captured' AND b.status IS DISTINCT FROM 'confirmed')
ORDER BY p.created_at;
