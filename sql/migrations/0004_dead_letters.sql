-- What is needed to send a dead letter again as it was, and what became of it.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

ALTER TABLE booking.dead_letters
ADD COLUMN key bytea NOT NULL DEFAULT '',
ADD COLUMN headers jsonb NOT NULL DEFAULT '[]',
ADD COLUMN state text NOT NULL DEFAULT 'waiting',
ADD COLUMN resolved_at timestamptz;

ALTER TABLE booking.dead_letters
ADD CONSTRAINT dead_letters_state_known CHECK (state IN ('waiting', 'replayed', 'discarded')) NOT VALID;
COMMENT ON COLUMN booking.dead_letters.headers IS 'pairs of a name and its value in base64';
