-- booking_json: a booking as it leaves the database: to the web process (app/stores/postgres.py reads it) and in events.
-- Locks: none. Idempotent: pure. Raises: nothing.
-- Its names are written in full, and no path is set: so it becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION booking.booking_json(p_booking booking.bookings) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'booking_id', p_booking.booking_id, 'event_id', p_booking.event_id, 'zone_id', p_booking.zone_id,
        'user_id', p_booking.user_id, 'quantity', p_booking.quantity,
        'unit_price_minor', p_booking.unit_price_minor, 'currency', p_booking.currency,
        'status', p_booking.status, 'version', p_booking.version,
        'reserved_at_ms', booking.to_ms(p_booking.reserved_at), 'deadline_ms', booking.to_ms(p_booking.deadline),
        'confirmed_at_ms', booking.to_ms(p_booking.confirmed_at), 'confirmation_code', p_booking.confirmation_code,
        'payment_id', p_booking.payment_id, 'ended_at_ms', booking.to_ms(p_booking.ended_at), 'cause', p_booking.cause
    )
$$;
