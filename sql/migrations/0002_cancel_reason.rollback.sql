ALTER TABLE booking.bookings DROP COLUMN cancel_reason;
