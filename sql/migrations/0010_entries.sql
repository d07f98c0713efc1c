-- What a batch from Redis is made of, as a type: a batch is read once, and not by each statement anew.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

CREATE TYPE booking.entry AS (
    booking_id uuid, shard smallint, event_id text, zone_id text, user_id text, quantity integer,
    unit_price_minor bigint, currency text, reserved_at timestamptz, deadline timestamptz, version integer,
    at timestamptz, idempotency_key text, fingerprint text, epoch integer, seq bigint, pin integer, payment_id text,
    verb_key text, verb_fingerprint text
);
