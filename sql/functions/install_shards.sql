-- install_shards: fixes the number of shards, once: every event and every booking id depends on it.
-- Locks: the table, against another installation. Idempotent: yes. Raises: P0001 if another number is installed.
CREATE OR REPLACE FUNCTION booking.install_shards(p_count integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    v_installed integer;
BEGIN
    LOCK TABLE shards IN EXCLUSIVE MODE;
    SELECT count(*) INTO v_installed FROM shards;
    IF v_installed NOT IN (0, p_count) THEN
        RAISE EXCEPTION 'SHARDS is % in the settings, but this installation has %', p_count, v_installed;
    END IF;
    INSERT INTO shards (shard) SELECT s FROM generate_series(0, p_count - 1) AS s ON CONFLICT DO NOTHING;
END
$$;
