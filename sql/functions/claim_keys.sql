-- claim_keys: reservations that are recorded own their idempotency keys for 24 h; an older owner makes way.
-- Both times are of Redis' clock, so a replay of the log decides as the first time did.
-- Locks: the keys' rows, sorted. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.claim_keys(p_entries jsonb, p_bookings uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    INSERT INTO idempotency_keys AS known (event_id, user_id, verb, key, fingerprint, booking_id, answer, created_at)
    SELECT DISTINCT ON (e.event_id, e.user_id, e.idempotency_key)
        e.event_id, e.user_id, 'reserve', e.idempotency_key, e.fingerprint, e.booking_id,
        jsonb_build_object(
            'price', e.unit_price_minor, 'currency', e.currency, 'reserved_at', to_ms(e.reserved_at),
            'deadline', to_ms(e.deadline)
        ),
        e.reserved_at
    FROM entries_of(p_entries) AS e
    WHERE e.idempotency_key IS NOT NULL AND e.booking_id = ANY (p_bookings)
    ORDER BY e.event_id, e.user_id, e.idempotency_key, e.reserved_at DESC
    ON CONFLICT (event_id, user_id, verb, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, booking_id = excluded.booking_id, answer = excluded.answer,
        created_at = excluded.created_at
    WHERE known.created_at <= excluded.created_at - interval '24 hours'
$$;
