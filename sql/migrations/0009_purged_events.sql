-- Sandbox events that are gone: the log may still speak of them, and must not bring them back.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

CREATE TABLE booking.purged_events (
    event_id text PRIMARY KEY,
    shard smallint NOT NULL,
    purged_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE booking.purged_events IS 'what comes of them is dropped, and their ids are not given out again; kept for 30 days, longer than any log';

GRANT SELECT ON booking.purged_events TO holdfast_app, holdfast_reader, holdfast_operator;
