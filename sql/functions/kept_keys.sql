-- kept_keys: the idempotency keys of a shard's last 24 hours, each with its owner and the answer that it was given. Of reserve
-- the booking owns its key (key_fingerprint); where two were made under one, the later does: Redis, which decides, let go of
-- the earlier. Of extend, and of what was reserved before bookings owned keys, idempotency_keys tells. `live`: the key of a
-- reservation that stands.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.kept_keys(p_shard smallint) RETURNS TABLE (
    event_id text, user_id text, verb text, key text, fingerprint text, booking_id uuid, answer jsonb, since timestamptz,
    live boolean
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT DISTINCT ON (k.key, k.user_id, k.event_id, k.verb)
        k.event_id, k.user_id, k.verb, k.key, k.fingerprint, k.booking_id, k.answer, k.since, k.live
    FROM (
        SELECT
            b.event_id, b.user_id, 'reserve' AS verb, b.idempotency_key AS key, b.key_fingerprint AS fingerprint,
            b.booking_id,
            jsonb_build_object(
                'price', b.unit_price_minor, 'currency', b.currency, 'at', to_ms(b.reserved_at),
                'deadline', to_ms(coalesce(b.promised, b.deadline))
            ) AS answer,
            b.reserved_at AS since, b.status = 'reserved' AS live
        FROM bookings AS b
        WHERE b.shard = p_shard AND b.key_fingerprint IS NOT NULL
            AND b.reserved_at > statement_timestamp() - interval '24 hours'
        UNION ALL
        SELECT
            i.event_id, i.user_id, i.verb, i.key, i.fingerprint, i.booking_id, i.answer, i.created_at,
            i.verb = 'reserve' AND (SELECT b.status = 'reserved' FROM bookings AS b WHERE b.booking_id = i.booking_id)
        FROM idempotency_keys AS i JOIN events AS e USING (event_id)
        WHERE e.shard = p_shard AND i.created_at > statement_timestamp() - interval '24 hours'
    ) AS k
    ORDER BY k.key, k.user_id, k.event_id, k.verb, k.since DESC
$$;
