-- list_dead_letters: the latest dead letters of one state (null: of all), or the one with this id, each with its payload.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.list_dead_letters(p_state text, p_id bigint, p_limit integer) RETURNS TABLE (
    dead_letter_id bigint, topic text, partition integer, log_offset bigint, cause text, payload bytea, key bytea,
    headers jsonb, state text, at_ms bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT
        d.dead_letter_id, d.topic, d.partition, d.log_offset, d.cause, d.payload, d.key, d.headers, d.state,
        to_ms(d.created_at)
    FROM dead_letters AS d
    WHERE (p_state IS NULL OR d.state = p_state) AND (p_id IS NULL OR d.dead_letter_id = p_id)
    ORDER BY d.dead_letter_id DESC
    LIMIT p_limit
$$;
