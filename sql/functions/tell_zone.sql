-- tell_zone: a zone's new facts into the outbox, in the transaction that makes them true.
-- Locks: none; the caller holds the zone. Idempotent: no; called once per version. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.tell_zone(p_zone booking.zones, p_shard smallint) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    INSERT INTO outbox (ce_id, type, key, shard, data)
    VALUES (
        p_zone.event_id || '/' || p_zone.zone_id || ':' || p_zone.version, 'zone.opened', p_zone.event_id, p_shard,
        jsonb_build_object('zone', zone_facts(p_zone))
    )
$$;
