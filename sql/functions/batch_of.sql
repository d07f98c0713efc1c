-- batch_of: a batch from Redis (entries of an outbox, or pins) as rows. One shape serves both: what an entry lacks is null.
-- An entry's seq is the id that the stream gave it, "<epoch>-<n>"; a pin names its epoch.
-- Locks: none. Idempotent: pure. Raises: 22P02 and its like for what is not of this shape.
-- Its names are written in full, and no path is set: so it becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION booking.batch_of(p_entries jsonb) RETURNS TABLE (
    booking_id uuid, shard smallint, event_id text, zone_id text, user_id text, quantity integer,
    unit_price_minor bigint, currency text, reserved_at timestamptz, deadline timestamptz, version integer,
    at timestamptz, idempotency_key text, fingerprint text, epoch integer, seq bigint, pin integer, payment_id text,
    verb_key text, verb_fingerprint text
)
LANGUAGE sql STABLE AS $$
    SELECT
        e.booking_id, booking.shard_of(e.booking_id), e.event_id, e.zone_id, e.user_id, e.quantity,
        e.unit_price_minor, e.currency, booking.from_ms(e.reserved_at_ms), booking.from_ms(e.deadline_ms), e.version,
        booking.from_ms(e.at_ms), nullif(e.idempotency_key, ''), e.fingerprint,
        coalesce(e.epoch, split_part(e.seq, '-', 1)::integer), split_part(e.seq, '-', 2)::bigint, e.pin, e.payment_id,
        e.verb_key, e.verb_fingerprint
    FROM jsonb_to_recordset(p_entries) AS e (
        booking_id uuid, event_id text, zone_id text, user_id text, quantity integer, unit_price_minor bigint,
        currency text, reserved_at_ms bigint, deadline_ms bigint, version integer, at_ms bigint,
        idempotency_key text, fingerprint text, epoch integer, seq text, pin integer, payment_id text,
        verb_key text, verb_fingerprint text
    )
$$;
