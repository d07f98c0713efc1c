-- get_history: every transition of one booking, oldest first, numbered from 1 over all epochs; no rows where there is no
-- booking. A transition whose event is still on its way is not there yet, and takes its place when it arrives.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.get_history(p_booking_id uuid)
RETURNS TABLE (version integer, status text, at_ms bigint, cause text, epoch integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT (row_number() OVER (ORDER BY h.epoch, h.version))::integer, h.status, to_ms(h.at), h.cause, h.epoch
    FROM booking_history AS h
    WHERE h.booking_id = p_booking_id
    ORDER BY h.epoch, h.version
$$;
