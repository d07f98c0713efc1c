-- How long a zone has been there: one that was opened a moment ago may be unknown to Redis for a good reason.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

ALTER TABLE booking.zones ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
