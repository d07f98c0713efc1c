-- illegal_history: bookings whose transitions do not lead to what they are: none recorded, a beginning that is no
-- reservation, a cancellation of what was never confirmed, or another end than the status; and lines of no booking.
-- Repair: none by program; nothing that happened is ever rewritten.
SELECT booking_id, b.event_id, b.status, h.path
FROM booking.bookings AS b
FULL JOIN (
    SELECT booking_id, array_agg(status ORDER BY epoch, version) AS path
    FROM booking.booking_history
    GROUP BY booking_id
) AS h USING (booking_id)
WHERE
    h.path IS NULL
    OR b.status IS NULL
    OR h.path[1] <> 'reserved'
    OR ('cancelled' = ANY (h.path) AND NOT 'confirmed' = ANY (h.path))
    OR (h.path[cardinality(h.path)] IN ('confirmed', 'reserved') AND h.path[cardinality(h.path)] <> b.status)
    OR NOT b.status = ANY (h.path)
ORDER BY booking_id;
