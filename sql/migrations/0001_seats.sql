-- The tables of schema booking: every final state. All writes go through the functions of sql/functions.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['holdfast_app', 'holdfast_reader', 'holdfast_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles belong to the whole server: another database's migration was a moment earlier
            END;
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA booking;

CREATE TABLE booking.shards (
    shard smallint PRIMARY KEY,
    epoch integer NOT NULL DEFAULT 1,
    highest_seq bigint NOT NULL DEFAULT 0,
    CONSTRAINT shards_in_range CHECK (shard BETWEEN 0 AND 4095)
);
COMMENT ON COLUMN booking.shards.epoch IS 'raised by each rebuild; Redis sells only at this epoch';
COMMENT ON COLUMN booking.shards.highest_seq IS 'of the shard''s outbox in this epoch, as far as it has been recorded';

CREATE TABLE booking.events (
    event_id text PRIMARY KEY,
    shard smallint NOT NULL REFERENCES booking.shards,
    name text NOT NULL,
    opens_at timestamptz,
    closes_at timestamptz,
    hold_seconds integer NOT NULL,
    hold_seconds_max integer NOT NULL,
    max_per_user integer NOT NULL,
    max_per_reservation integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT events_id_wellformed CHECK (event_id ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'),
    CONSTRAINT events_hold_positive CHECK (hold_seconds > 0 AND hold_seconds_max >= hold_seconds),
    CONSTRAINT events_limits_positive CHECK (max_per_user > 0 AND max_per_reservation > 0),
    CONSTRAINT events_close_after_open CHECK (closes_at > opens_at)
);

CREATE TABLE booking.zones (
    event_id text NOT NULL REFERENCES booking.events,
    zone_id text NOT NULL,
    name text NOT NULL,
    capacity integer NOT NULL,
    confirmed_seats integer NOT NULL DEFAULT 0,
    price_minor bigint NOT NULL,
    currency text NOT NULL,
    currency_digits smallint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    ceiling_done bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (event_id, zone_id),
    CONSTRAINT zones_id_wellformed CHECK (zone_id ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'),
    CONSTRAINT zones_never_oversold CHECK (confirmed_seats BETWEEN 0 AND capacity),
    CONSTRAINT zones_price_not_negative CHECK (price_minor >= 0),
    CONSTRAINT zones_currency_wellformed CHECK (currency ~ '^[A-Z]{3}$')
) WITH (fillfactor = 50); -- a hot zone's row is rewritten by each batch of confirms: leave room on its page
COMMENT ON COLUMN booking.zones.version IS 'raised under the row''s lock by every change that Redis must learn of';
COMMENT ON COLUMN booking.zones.ceiling_done IS 'highest number of a capacity cut that was committed or voided';

CREATE TABLE booking.user_seats (
    event_id text NOT NULL REFERENCES booking.events,
    user_id text NOT NULL,
    confirmed_seats integer NOT NULL DEFAULT 0,
    seats_limit integer NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (event_id, user_id),
    CONSTRAINT user_seats_not_negative CHECK (confirmed_seats >= 0),
    CONSTRAINT user_seats_within_limit CHECK (confirmed_seats <= seats_limit)
);
COMMENT ON COLUMN booking.user_seats.seats_limit IS 'the event''s max_per_user when seats were last confirmed';

CREATE TABLE booking.bookings (
    booking_id uuid PRIMARY KEY,
    shard smallint NOT NULL,
    event_id text NOT NULL,
    zone_id text NOT NULL,
    user_id text NOT NULL,
    quantity integer NOT NULL,
    unit_price_minor bigint NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    version integer NOT NULL,
    epoch integer NOT NULL,
    reserved_at timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    void_pin integer NOT NULL DEFAULT 0,
    confirmed_at timestamptz,
    confirmation_code text,
    payment_id text,
    ended_at timestamptz,
    cause text,
    idempotency_key text,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (event_id, zone_id) REFERENCES booking.zones,
    CONSTRAINT bookings_quantity_positive CHECK (quantity > 0),
    CONSTRAINT bookings_status_known CHECK (
        status IN ('reserved', 'confirmed', 'released', 'expired', 'cancelled')
    ),
    CONSTRAINT bookings_confirmed_whole CHECK (
        status NOT IN ('confirmed', 'cancelled') OR (confirmed_at IS NOT NULL AND confirmation_code IS NOT NULL)
    ),
    CONSTRAINT bookings_ended_whole CHECK ((ended_at IS NOT NULL) = (status IN ('released', 'expired', 'cancelled')))
);
COMMENT ON COLUMN booking.bookings.void_pin IS 'highest pin whose confirmation is refused for good';
CREATE INDEX bookings_live ON booking.bookings (shard, deadline) WHERE status = 'reserved';
CREATE INDEX bookings_of_user ON booking.bookings (user_id, event_id, booking_id);

CREATE TABLE booking.idempotency_keys (
    event_id text NOT NULL,
    user_id text NOT NULL,
    verb text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    booking_id uuid NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (event_id, user_id, verb, key)
);
CREATE INDEX idempotency_keys_by_age ON booking.idempotency_keys (created_at);

CREATE TABLE booking.booking_history (
    history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    booking_id uuid NOT NULL REFERENCES booking.bookings,
    epoch integer NOT NULL,
    version integer NOT NULL,
    status text NOT NULL,
    at timestamptz NOT NULL,
    cause text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT booking_history_one_row_per_transition UNIQUE (booking_id, epoch, version)
);

CREATE TABLE booking.outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ce_id text NOT NULL,
    type text NOT NULL,
    key text NOT NULL,
    shard smallint NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE booking.outbox IS 'events that Kafka has not acknowledged yet; the relay deletes what it has';

CREATE TABLE booking.dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    log_offset bigint NOT NULL,
    cause text NOT NULL,
    payload bytea NOT NULL,
    payload_sha256 bytea NOT NULL GENERATED ALWAYS AS (sha256(payload)) STORED,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT dead_letters_once UNIQUE (topic, partition, log_offset, payload_sha256)
);

GRANT USAGE ON SCHEMA booking TO holdfast_app, holdfast_reader, holdfast_operator;
GRANT SELECT ON ALL TABLES IN SCHEMA booking TO holdfast_app, holdfast_reader, holdfast_operator;
