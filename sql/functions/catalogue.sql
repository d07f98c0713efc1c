-- catalogue: events with their zones as Postgres knows them; all of them, or the one asked for.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.catalogue(p_event_id text DEFAULT NULL) RETURNS TABLE (event jsonb, zones jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT
        jsonb_build_object(
            'event_id', e.event_id, 'name', e.name, 'opens_at_ms', to_ms(e.opens_at),
            'closes_at_ms', to_ms(e.closes_at), 'hold_seconds', e.hold_seconds,
            'hold_seconds_max', e.hold_seconds_max, 'max_per_user', e.max_per_user,
            'max_per_reservation', e.max_per_reservation
        ),
        coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'event_id', z.event_id, 'zone_id', z.zone_id, 'name', z.name, 'capacity', z.capacity,
                    'price_minor', z.price_minor, 'currency', z.currency, 'confirmed', z.confirmed_seats
                )
                ORDER BY z.zone_id
            ) FILTER (WHERE z.zone_id IS NOT NULL),
            '[]'
        )
    FROM events AS e
    LEFT JOIN zones AS z USING (event_id)
    WHERE p_event_id IS NULL OR e.event_id = p_event_id
    GROUP BY e.event_id
    ORDER BY e.event_id
$$;
