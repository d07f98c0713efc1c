-- open_zone: puts a zone on sale, or changes its name, price or capacity. Answers whether it is new, and its facts.
-- Locks: shard (shared), the zone. Idempotent: yes. Raises: SE404 no such event; SE409 a lower capacity, which could cut
-- into seats that Redis is holding.
CREATE OR REPLACE FUNCTION booking.open_zone(p_shard smallint, p_zone jsonb)
RETURNS TABLE (created boolean, facts jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_asked booking.zones := jsonb_populate_record(NULL::booking.zones, p_zone);
    v_zone booking.zones;
BEGIN
    PERFORM lock_shards(ARRAY[p_shard]);
    IF NOT EXISTS (SELECT FROM events AS e WHERE e.event_id = v_asked.event_id) THEN
        RAISE EXCEPTION 'EVENT_NOT_FOUND' USING ERRCODE = 'SE404';
    END IF;
    INSERT INTO zones (event_id, zone_id, name, capacity, price_minor, currency, currency_digits)
    VALUES (
        v_asked.event_id, v_asked.zone_id, v_asked.name, v_asked.capacity, v_asked.price_minor, v_asked.currency,
        v_asked.currency_digits
    )
    ON CONFLICT (event_id, zone_id) DO NOTHING
    RETURNING * INTO v_zone;
    created := FOUND;
    IF NOT created THEN
        SELECT z.* INTO v_zone FROM zones AS z
        WHERE (z.event_id, z.zone_id) = (v_asked.event_id, v_asked.zone_id) FOR NO KEY UPDATE;
        IF v_asked.capacity < v_zone.capacity THEN
            RAISE EXCEPTION 'CAPACITY_IN_USE' USING ERRCODE = 'SE409';
        END IF;
        UPDATE zones AS z
        SET name = v_asked.name, capacity = v_asked.capacity, price_minor = v_asked.price_minor,
            currency = v_asked.currency, currency_digits = v_asked.currency_digits, version = z.version + 1
        WHERE (z.event_id, z.zone_id) = (v_asked.event_id, v_asked.zone_id)
        RETURNING z.* INTO v_zone;
    END IF;
    PERFORM tell_zone(v_zone, p_shard);
    facts := zone_facts(v_zone);
    RETURN NEXT;
END
$$;
