-- record_expiries: writes down reservations whose deadline has passed. Answers how many ended now.
-- Locks, idempotence, raises: as record_endings.
CREATE OR REPLACE FUNCTION booking.record_expiries(p_entries jsonb) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT record_endings(p_entries, 'expired', 'expire')
$$;
