-- claim_idempotency_keys: what is recorded owns its idempotency key for 24 h; an older owner makes way.
-- Both times are of Redis' clock, so a replay of the log decides as the first time did.
-- Locks: the keys' rows, sorted. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.claim_idempotency_keys(p_verb text, p_claims jsonb) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    INSERT INTO idempotency_keys AS known (event_id, user_id, verb, key, fingerprint, booking_id, answer, created_at)
    SELECT DISTINCT ON (c.event_id, c.user_id, c.key)
        c.event_id, c.user_id, p_verb, c.key, c.fingerprint, c.booking_id,
        jsonb_build_object(
            'price', c.unit_price_minor, 'currency', c.currency, 'at', to_ms(c.at), 'deadline', to_ms(c.deadline)
        ),
        c.at
    FROM jsonb_to_recordset(p_claims) AS c (
        event_id text, user_id text, key text, fingerprint text, booking_id uuid, unit_price_minor bigint,
        currency text, deadline timestamptz, at timestamptz
    )
    WHERE c.key <> ''
    ORDER BY c.event_id, c.user_id, c.key, c.at DESC
    ON CONFLICT (event_id, user_id, verb, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, booking_id = excluded.booking_id, answer = excluded.answer,
        created_at = excluded.created_at
    WHERE known.created_at <= excluded.created_at - interval '24 hours'
$$;
