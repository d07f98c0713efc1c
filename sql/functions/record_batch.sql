-- record_batch: writes down a batch of the log, in one transaction: what each of its entries tells, a kind after the other, so
-- that beginnings come before ends, and how far the log has come with it. Null: no entries of that kind.
-- Locks: as the functions that it calls; the shards' rows last. Idempotent: yes. Raises: 22*, 23* for a batch with an entry
-- that cannot be recorded at all: then nothing of it is.
CREATE OR REPLACE FUNCTION booking.record_batch(
    p_created jsonb, p_extended jsonb, p_released jsonb, p_expired jsonb, p_latest jsonb
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF p_created IS NOT NULL THEN
        PERFORM record_reservations(p_created);
    END IF;
    IF p_extended IS NOT NULL THEN
        PERFORM record_extensions(p_extended);
    END IF;
    IF p_released IS NOT NULL THEN
        PERFORM record_releases(p_released);
    END IF;
    IF p_expired IS NOT NULL THEN
        PERFORM record_expiries(p_expired);
    END IF;
    PERFORM note_seq(p_latest);
END
$$;
