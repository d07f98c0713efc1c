-- open_zone: puts a zone on sale, or changes its name, price or capacity. Answers whether it is new, and its facts.
-- A lower capacity needs a ceiling in Redis first, named by its epoch and number in p_zone: it is committed once, in that
-- epoch, and never after it was voided (rule 3.8).
-- Locks: shard (shared), event (share), the zone. Idempotent: yes. Raises: SE404 no such event; SE409 a lower capacity
-- without a ceiling that stands, or below what is confirmed.
CREATE OR REPLACE FUNCTION booking.open_zone(p_shard smallint, p_zone jsonb)
RETURNS TABLE (created boolean, facts jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_asked booking.zones := jsonb_populate_record(NULL::booking.zones, p_zone);
    v_zone booking.zones;
    v_ceiling bigint;
BEGIN
    PERFORM lock_shards(ARRAY[p_shard]);
    -- Closes the race with put_event: new terms reach every zone, also one that is being opened.
    PERFORM 1 FROM events AS e WHERE e.event_id = v_asked.event_id FOR SHARE;
    IF NOT FOUND THEN
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
        v_ceiling := (p_zone ->> 'ceiling')::bigint;
        IF v_asked.capacity < v_zone.confirmed_seats OR (
            v_asked.capacity < v_zone.capacity AND NOT coalesce(
                v_ceiling > v_zone.ceiling_done
                AND (p_zone ->> 'ceiling_epoch')::integer = (SELECT s.epoch FROM shards AS s WHERE s.shard = p_shard),
                false
            )
        ) THEN
            RAISE EXCEPTION 'CAPACITY_IN_USE' USING ERRCODE = 'SE409';
        END IF;
        UPDATE zones AS z
        SET name = v_asked.name, capacity = v_asked.capacity, price_minor = v_asked.price_minor,
            currency = v_asked.currency, currency_digits = v_asked.currency_digits, version = z.version + 1,
            ceiling_done = greatest(z.ceiling_done, v_ceiling)
        WHERE (z.event_id, z.zone_id) = (v_asked.event_id, v_asked.zone_id)
        RETURNING z.* INTO v_zone;
    END IF;
    PERFORM tell_zone(v_zone, p_shard);
    facts := zone_facts(v_zone);
    RETURN NEXT;
END
$$;
