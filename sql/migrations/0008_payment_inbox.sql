-- What providers tell by themselves, and payments that were captured too late for the booking that they were first for.
-- squawk-ignore-file require-concurrent-index-creation
SET lock_timeout = '5s';
SET statement_timeout = '60s';

ALTER TABLE booking.payments ADD COLUMN replaces uuid;
COMMENT ON COLUMN booking.payments.replaces IS 'the expired booking that it was first for; its seats were sold again to the payer';
CREATE INDEX payments_replacing ON booking.payments (replaces) WHERE replaces IS NOT NULL;
CREATE INDEX payments_by_reference ON booking.payments (reference) WHERE reference IS NOT NULL;

CREATE TABLE booking.payment_inbox (
    inbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    message_id text NOT NULL,
    type text NOT NULL,
    payment_no bigint REFERENCES booking.payments,
    payload jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT payment_inbox_once UNIQUE (source, message_id)
);
COMMENT ON TABLE booking.payment_inbox IS 'what was told of payments, once each; kept for 30 days';
COMMENT ON COLUMN booking.payment_inbox.payment_no IS 'null: told of a payment that is none of ours';
CREATE INDEX payment_inbox_by_age ON booking.payment_inbox (received_at);

GRANT SELECT ON booking.payment_inbox TO holdfast_app, holdfast_reader, holdfast_operator;
