DROP FUNCTION IF EXISTS booking.payment_json; -- takes a row of the table
DROP TABLE booking.payment_inbox;
DROP INDEX booking.payments_by_reference;
DROP INDEX booking.payments_replacing;
ALTER TABLE booking.payments DROP COLUMN replaces;
