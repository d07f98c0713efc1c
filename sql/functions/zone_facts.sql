-- zone_facts: what Redis has to know of a zone, with the version that orders it (rule 3.4). 0 stands for "no time".
-- Locks: none; call it with a row that is locked. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.zone_facts(p_zone booking.zones) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'event_id', p_zone.event_id, 'zone_id', p_zone.zone_id, 'capacity', p_zone.capacity,
            'confirmed', p_zone.confirmed_seats, 'price', p_zone.price_minor, 'currency', p_zone.currency,
            'digits', p_zone.currency_digits, 'opens', coalesce(to_ms(e.opens_at), 0),
            'closes', coalesce(to_ms(e.closes_at), 0), 'hold_ms', e.hold_seconds::bigint * 1000,
            'hold_max_ms', e.hold_seconds_max::bigint * 1000, 'per_user', e.max_per_user,
            'per_reservation', e.max_per_reservation, 'version', p_zone.version, 'ceiling_done', p_zone.ceiling_done
        )
        FROM events AS e
        WHERE e.event_id = p_zone.event_id
    );
END
$$;
