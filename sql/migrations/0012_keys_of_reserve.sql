-- The key that a reservation was made under is told by its booking: a row and two indexes less for each of them.
-- Keys that were claimed before stay where they are for their day: kept_keys reads both. The index begins with no row, and
-- reads the table once.
-- squawk-ignore-file require-concurrent-index-creation
SET lock_timeout = '5s';
SET statement_timeout = '60s';

ALTER TABLE booking.bookings ADD COLUMN key_fingerprint text, ADD COLUMN promised timestamptz;
COMMENT ON COLUMN booking.bookings.key_fingerprint IS 'of the request under idempotency_key; null: the booking owns no key';
COMMENT ON COLUMN booking.bookings.promised IS 'the deadline that the first answer told, where it has been extended since';
CREATE INDEX bookings_keys ON booking.bookings (shard, reserved_at) WHERE key_fingerprint IS NOT NULL;
