-- Why a booking was cancelled, in the customer's words.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

ALTER TABLE booking.bookings ADD COLUMN cancel_reason text;
