-- stuck_payments: payments whose outcome is not known two minutes after they began, whose voiding or refund is not done
-- after as long, and captured ones of a booking that is not confirmed.
-- Repair: see that a worker runs and that the provider answers; the saga asks again by itself.
SELECT
    p.payment_no, p.booking_id, b.status AS booking, p.state, p.amount_minor, p.currency, p.attempts, p.last_error,
    clock_timestamp() - p.created_at AS age
FROM booking.payments AS p
LEFT JOIN booking.bookings AS b USING (booking_id)
WHERE
    (p.state IN ('intent', 'pending') AND p.created_at < statement_timestamp() - interval '2 minutes')
    OR (
        p.state IN ('voiding', 'refunding')
        AND (SELECT max(s.at) FROM booking.payment_steps AS s WHERE s.payment_no = p.payment_no AND s.state = p.state)
        < statement_timestamp() - interval '2 minutes'
    )
    OR (p.state = 'captured' AND b.status IS DISTINCT FROM 'confirmed')
ORDER BY p.created_at;
