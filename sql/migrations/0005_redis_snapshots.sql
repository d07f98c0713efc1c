-- What Redis held of each zone from minute to minute, with what Postgres held in the same moment: for psql to compare.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

CREATE TABLE booking.redis_snapshots (
    taken_at timestamptz NOT NULL,
    event_id text NOT NULL,
    zone_id text NOT NULL,
    capacity integer NOT NULL,
    confirmed integer NOT NULL,
    held integer NOT NULL,
    available integer NOT NULL,
    version bigint NOT NULL,
    postgres_capacity integer NOT NULL,
    postgres_confirmed integer NOT NULL,
    postgres_reserved bigint NOT NULL,
    postgres_version bigint NOT NULL,
    PRIMARY KEY (event_id, zone_id, taken_at)
);
COMMENT ON TABLE booking.redis_snapshots IS 'a photograph of each zone in both stores, taken by the worker; kept for a day';
CREATE INDEX redis_snapshots_by_age ON booking.redis_snapshots (taken_at);

GRANT SELECT ON booking.redis_snapshots TO holdfast_app, holdfast_reader, holdfast_operator;
