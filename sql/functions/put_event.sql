-- put_event: opens an event or changes the terms of its sale; all its zones' facts change with them.
-- Answers whether it is new, and those facts.
-- Locks: shard (shared), the event's zones, sorted. Idempotent: yes. Raises: 23514 for terms that contradict each other;
-- SE404 for an event that was purged.
CREATE OR REPLACE FUNCTION booking.put_event(p_shard smallint, p_event jsonb)
RETURNS TABLE (created boolean, zones jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_zones booking.zones[];
BEGIN
    PERFORM lock_shards(ARRAY[p_shard]);
    IF EXISTS (SELECT FROM purged_events AS p WHERE p.event_id = p_event ->> 'event_id') THEN
        RAISE EXCEPTION 'EVENT_NOT_FOUND'
            USING ERRCODE = 'SE404', DETAIL = 'It was purged, and its id is not given out again: the log still speaks of it';
    END IF;
    INSERT INTO events AS known (
        event_id, shard, name, opens_at, closes_at, hold_seconds, hold_seconds_max, max_per_user, max_per_reservation
    )
    SELECT
        e.event_id, p_shard, e.name, from_ms(e.opens_at_ms), from_ms(e.closes_at_ms), e.hold_seconds,
        e.hold_seconds_max, e.max_per_user, e.max_per_reservation
    FROM jsonb_to_record(p_event) AS e (
        event_id text, name text, opens_at_ms bigint, closes_at_ms bigint, hold_seconds integer,
        hold_seconds_max integer, max_per_user integer, max_per_reservation integer
    )
    ON CONFLICT (event_id) DO UPDATE
    SET name = excluded.name, opens_at = excluded.opens_at, closes_at = excluded.closes_at,
        hold_seconds = excluded.hold_seconds, hold_seconds_max = excluded.hold_seconds_max,
        max_per_user = excluded.max_per_user, max_per_reservation = excluded.max_per_reservation,
        updated_at = clock_timestamp()
    RETURNING known.xmax = 0 INTO created; -- no row version was replaced: it is new

    PERFORM 1 FROM zones AS z WHERE z.event_id = p_event ->> 'event_id' ORDER BY z.zone_id FOR NO KEY UPDATE;
    WITH changed AS (
        UPDATE zones AS z SET version = z.version + 1 WHERE z.event_id = p_event ->> 'event_id' RETURNING z.*
    )
    SELECT coalesce(array_agg(changed::booking.zones), '{}') INTO v_zones FROM changed;
    PERFORM tell_zone(z, p_shard) FROM unnest(v_zones) AS z;
    SELECT coalesce(jsonb_agg(zone_facts(z)), '[]') INTO zones FROM unnest(v_zones) AS z;
    RETURN NEXT;
END
$$;
