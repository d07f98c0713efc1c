-- discard_dead_letters: somebody has looked at these dead letters (at all for null) and wants nothing done. Answers which.
-- Locks: their rows. Idempotent: yes, one that was replayed or discarded stays as it is. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.discard_dead_letters(p_ids bigint[]) RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    UPDATE dead_letters AS d
    SET state = 'discarded', resolved_at = clock_timestamp()
    WHERE d.state = 'waiting' AND (p_ids IS NULL OR d.dead_letter_id = ANY (p_ids))
    RETURNING d.dead_letter_id
$$;
