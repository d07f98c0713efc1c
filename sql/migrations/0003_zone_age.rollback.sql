ALTER TABLE booking.zones DROP COLUMN created_at;
