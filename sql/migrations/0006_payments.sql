-- One attempt to be paid for a booking: what is asked of the provider, and what is known of the outcome.
SET lock_timeout = '5s';
SET statement_timeout = '60s';

CREATE TABLE booking.payments (
    payment_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    booking_id uuid NOT NULL,
    payment_id text NOT NULL,
    state text NOT NULL DEFAULT 'intent',
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    epoch integer NOT NULL,
    pin integer NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    next_attempt_at timestamptz,
    leased_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT payments_state_known CHECK (
        state IN ('intent', 'pending', 'captured', 'declined', 'voided', 'refunding', 'refunded', 'failed')
    ),
    CONSTRAINT payments_amount_not_negative CHECK (amount_minor >= 0)
);
CREATE UNIQUE INDEX payments_one_open ON booking.payments (booking_id) WHERE state IN ('intent', 'pending');
CREATE INDEX payments_due ON booking.payments (next_attempt_at) WHERE state IN ('intent', 'pending', 'refunding');

GRANT SELECT ON booking.payments TO holdfast_app, holdfast_reader, holdfast_operator;
