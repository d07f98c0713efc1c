INSERT INTO booking.idempotency_keys AS known (event_id, user_id, verb, key, fingerprint, booking_id, answer, created_at)
SELECT DISTINCT ON (b.event_id, b.user_id, b.idempotency_key)
    b.event_id, b.user_id, 'reserve', b.idempotency_key, b.key_fingerprint, b.booking_id,
    jsonb_build_object(
        'price', b.unit_price_minor, 'currency', b.currency,
        'at', round(extract(epoch FROM b.reserved_at) * 1000)::bigint,
        'deadline', round(extract(epoch FROM coalesce(b.promised, b.deadline)) * 1000)::bigint
    ),
    b.reserved_at
FROM booking.bookings AS b
WHERE b.key_fingerprint IS NOT NULL AND b.reserved_at > clock_timestamp() - interval '24 hours'
ORDER BY b.event_id, b.user_id, b.idempotency_key, b.reserved_at DESC
ON CONFLICT (event_id, user_id, verb, key) DO UPDATE
SET fingerprint = excluded.fingerprint, booking_id = excluded.booking_id, answer = excluded.answer,
    created_at = excluded.created_at
WHERE known.created_at <= excluded.created_at;
DROP INDEX booking.bookings_keys;
ALTER TABLE booking.bookings DROP COLUMN key_fingerprint, DROP COLUMN promised;
