DROP FUNCTION IF EXISTS booking.payment_json; -- takes a row of the table
DROP TABLE booking.payment_steps;
DROP INDEX booking.payments_of_booking;
DROP INDEX booking.payments_by_attempt;
DROP INDEX booking.payments_due;
CREATE INDEX payments_due ON booking.payments (next_attempt_at) WHERE state IN ('intent', 'pending', 'refunding');
UPDATE booking.payments SET state = 'pending' WHERE state = 'voiding';
ALTER TABLE booking.payments DROP CONSTRAINT payments_state_known;
ALTER TABLE booking.payments ADD CONSTRAINT payments_state_known CHECK (
    state IN ('intent', 'pending', 'captured', 'declined', 'voided', 'refunding', 'refunded', 'failed')
);
ALTER TABLE booking.payments DROP COLUMN attempt_id, DROP COLUMN reference;
