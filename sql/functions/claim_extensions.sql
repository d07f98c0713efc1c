-- claim_extensions: an extension that is recorded owns its idempotency key (the entry's verb_key) for 24 h; an older owner
-- makes way. Both times are of Redis' clock, so a replay of the log decides as the first time did.
-- Locks: the keys' rows, sorted. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.claim_extensions(p_entries booking.entry[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    INSERT INTO idempotency_keys AS known (event_id, user_id, verb, key, fingerprint, booking_id, answer, created_at)
    SELECT DISTINCT ON (e.event_id, e.user_id, e.verb_key)
        e.event_id, e.user_id, 'extend', e.verb_key, e.verb_fingerprint, e.booking_id,
        jsonb_build_object(
            'price', e.unit_price_minor, 'currency', e.currency, 'at', to_ms(e.at), 'deadline', to_ms(e.deadline)
        ),
        e.at
    FROM unnest(p_entries) AS e
    WHERE e.verb_key <> ''
    ORDER BY e.event_id, e.user_id, e.verb_key, e.at DESC
    ON CONFLICT (event_id, user_id, verb, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, booking_id = excluded.booking_id, answer = excluded.answer,
        created_at = excluded.created_at
    WHERE known.created_at <= excluded.created_at - interval '24 hours';
END
$$;
