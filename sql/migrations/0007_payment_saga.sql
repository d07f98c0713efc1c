-- What the saga needs of a payment: a key of its own for the provider, the provider's name for it, a state for what is to be
-- undone, and each step that it took. No program has written to the table yet, so that nobody waits for its indexes:
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, adding-field-with-default, ban-drop-constraint
SET lock_timeout = '5s';
SET statement_timeout = '60s';

ALTER TABLE booking.payments
ADD COLUMN attempt_id uuid NOT NULL DEFAULT gen_random_uuid(),
ADD COLUMN reference text;
COMMENT ON COLUMN booking.payments.attempt_id IS 'the idempotency key under which the provider knows this attempt';
COMMENT ON COLUMN booking.payments.reference IS 'the provider''s own name for it, once it has told one';
COMMENT ON COLUMN booking.payments.leased_until IS 'until then somebody is at it, and others leave it alone';

ALTER TABLE booking.payments DROP CONSTRAINT payments_state_known;
ALTER TABLE booking.payments ADD CONSTRAINT payments_state_known CHECK (
    state IN (
        'intent', 'pending', 'captured', 'declined', 'failed', 'voiding', 'voided', 'refunding', 'refunded'
    )
) NOT VALID;

DROP INDEX booking.payments_due;
CREATE INDEX payments_due ON booking.payments (next_attempt_at)
WHERE state IN ('intent', 'pending', 'voiding', 'refunding');
CREATE UNIQUE INDEX payments_by_attempt ON booking.payments (attempt_id);
CREATE INDEX payments_of_booking ON booking.payments (booking_id, payment_no);

CREATE TABLE booking.payment_steps (
    step_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_no bigint NOT NULL REFERENCES booking.payments,
    state text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail text
);
COMMENT ON TABLE booking.payment_steps IS 'append-only: each state that a payment was in, with why';
CREATE INDEX payment_steps_of_payment ON booking.payment_steps (payment_no, step_id);

GRANT SELECT ON booking.payment_steps TO holdfast_app, holdfast_reader, holdfast_operator;
