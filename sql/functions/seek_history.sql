-- seek_history: the number after which come all lines of the history that were recorded since a time; null for the time:
-- the highest number that there is. Numbers and times of recording rise together, so halving finds it without an index
-- on the times.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.seek_history(p_since_ms bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
DECLARE
    -- Two sessions may take a number and the time in different order, some microseconds apart.
    v_since timestamptz := from_ms(p_since_ms) - interval '1 second';
    v_low bigint := 0;
    v_high bigint;
    v_middle bigint;
    v_at timestamptz;
BEGIN
    SELECT coalesce(max(h.history_id), 0) INTO v_high FROM booking_history AS h;
    IF p_since_ms IS NULL THEN
        RETURN v_high;
    END IF;
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high) / 2;
        SELECT h.recorded_at INTO v_at
        FROM booking_history AS h
        WHERE h.history_id > v_middle
        ORDER BY h.history_id
        LIMIT 1;
        IF v_at < v_since THEN
            v_low := v_middle + 1;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN v_low;
END
$$;
