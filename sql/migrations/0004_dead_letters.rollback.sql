ALTER TABLE booking.dead_letters
DROP COLUMN key, DROP COLUMN headers, DROP COLUMN state, DROP COLUMN resolved_at;
