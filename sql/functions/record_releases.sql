-- record_releases: writes down reservations that their holders have given back. Answers how many ended now.
-- Locks, idempotence, raises: as record_endings.
CREATE OR REPLACE FUNCTION booking.record_releases(p_entries jsonb) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT record_endings(p_entries, 'released', 'release')
$$;
