-- claim_keys: what is recorded owns its idempotency key for 24 h; an older owner makes way. The key of extend is the
-- entry's verb_key, that of reserve its idempotency_key.
-- Both times are of Redis' clock, so a replay of the log decides as the first time did.
-- Locks: the keys' rows, sorted. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.claim_keys(p_verb text, p_entries booking.entry[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    INSERT INTO idempotency_keys AS known (event_id, user_id, verb, key, fingerprint, booking_id, answer, created_at)
    SELECT DISTINCT ON (c.event_id, c.user_id, c.key)
        c.event_id, c.user_id, p_verb, c.key, c.key_fingerprint, c.booking_id,
        jsonb_build_object(
            'price', c.unit_price_minor, 'currency', c.currency, 'at', to_ms(c.since), 'deadline', to_ms(c.deadline)
        ),
        c.since
    FROM (
        SELECT
            e.*,
            CASE p_verb WHEN 'extend' THEN e.verb_key ELSE e.idempotency_key END AS key,
            CASE p_verb WHEN 'extend' THEN e.verb_fingerprint ELSE e.fingerprint END AS key_fingerprint,
            CASE p_verb WHEN 'extend' THEN e.at ELSE e.reserved_at END AS since
        FROM unnest(p_entries) AS e
    ) AS c
    WHERE c.key <> ''
    ORDER BY c.event_id, c.user_id, c.key, c.since DESC
    ON CONFLICT (event_id, user_id, verb, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, booking_id = excluded.booking_id, answer = excluded.answer,
        created_at = excluded.created_at
    WHERE known.created_at <= excluded.created_at - interval '24 hours';
END
$$;
