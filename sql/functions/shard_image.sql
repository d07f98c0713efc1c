-- shard_image: raises the shard's epoch and answers all that Redis has to hold at it, in this order: {epoch, ended},
-- purged events, zones, users, live reservations, idempotency keys of 24 h. The image must fit: a release that never
-- reached Postgres makes its reservation live again while its seats may have been sold since, so what is past a capacity
-- or a limit ends here. What has an open payment comes back pinned for it, under the next number (rule 3.7).
-- Locks: shard, exclusive: waits for transactions under way and keeps new ones out, or a write between the image and the
-- epoch would be lost; then the bookings that end. The caller holds the rebuild lock. Idempotent: no, each call is an epoch.
-- Raises: nothing.
CREATE OR REPLACE FUNCTION booking.shard_image(p_shard smallint) RETURNS TABLE (kind text, doc jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_epoch integer;
    v_ended integer;
BEGIN
    PERFORM pg_advisory_xact_lock(1, p_shard);
    UPDATE shards AS s SET epoch = s.epoch + 1, highest_seq = 0 WHERE s.shard = p_shard RETURNING s.epoch INTO v_epoch;
    v_ended := end_what_does_not_fit(p_shard, v_epoch);
    INSERT INTO outbox (ce_id, type, key, shard, data)
    VALUES (
        'shard/' || p_shard || ':' || v_epoch, 'shard.rebuilt', p_shard::text, p_shard,
        jsonb_build_object('shard', p_shard, 'epoch', v_epoch)
    );

    RETURN QUERY SELECT 'epoch', jsonb_build_object('epoch', v_epoch, 'ended', v_ended);
    RETURN QUERY SELECT 'purged', to_jsonb(p.event_id) FROM purged_events AS p WHERE p.shard = p_shard;
    RETURN QUERY
    SELECT 'zone', zone_facts(z)
    FROM events AS e JOIN zones AS z USING (event_id)
    WHERE e.shard = p_shard;
    RETURN QUERY
    SELECT 'user', user_facts(u)
    FROM events AS e JOIN user_seats AS u USING (event_id)
    WHERE e.shard = p_shard;
    RETURN QUERY
    SELECT 'reservation', jsonb_build_array(
        b.event_id, b.zone_id, b.user_id, b.quantity, b.unit_price_minor, b.currency, to_ms(b.reserved_at),
        to_ms(b.deadline), to_ms(b.reserved_at) + e.hold_seconds_max::bigint * 1000, b.version,
        CASE WHEN p.booking_id IS NULL THEN 'reserved' ELSE 'pinned' END,
        b.void_pin + CASE WHEN p.booking_id IS NULL THEN 0 ELSE 1 END,
        CASE WHEN p.booking_id IS NULL THEN 0 ELSE to_ms(clock_timestamp()) END,
        coalesce(p.payment_id, ''), coalesce(b.idempotency_key, ''), coalesce(b.key_fingerprint, k.fingerprint, ''),
        CASE WHEN coalesce(b.key_fingerprint, k.fingerprint) IS NOT NULL
            AND b.reserved_at > statement_timestamp() - interval '24 hours'
            THEN idempotency_digest(b.event_id, b.user_id, 'reserve', b.idempotency_key) ELSE '' END,
        CASE WHEN b.key_fingerprint IS NOT NULL THEN to_ms(coalesce(b.promised, b.deadline))
            ELSE coalesce((k.answer ->> 'deadline')::bigint, 0) END,
        to_ms(b.reserved_at), b.booking_id
    )
    FROM bookings AS b
    JOIN events AS e USING (event_id)
    LEFT JOIN idempotency_keys AS k -- of what was reserved before bookings owned their keys
        ON (k.event_id, k.user_id, k.verb) = (b.event_id, b.user_id, 'reserve') AND k.booking_id = b.booking_id
        AND k.key = CASE WHEN b.key_fingerprint IS NULL THEN b.idempotency_key END
    LEFT JOIN payments AS p ON p.booking_id = b.booking_id AND p.state IN ('intent', 'pending')
    WHERE b.shard = p_shard AND b.status = 'reserved';
    RETURN QUERY
    SELECT 'key', k.answer || jsonb_build_object(
        'event', k.event_id, 'user', k.user_id, 'digest', idempotency_digest(k.event_id, k.user_id, k.verb, k.key), 'fingerprint', k.fingerprint,
        'booking', k.booking_id,
        'keep_ms', greatest(
            1, ceil(extract(epoch FROM k.since + interval '24 hours' - clock_timestamp()) * 1000)::bigint
        )
    )
    FROM kept_keys(p_shard) AS k
    WHERE k.live IS NOT TRUE; -- those came with their reservations
END
$$;
