-- bury_message: keeps a message that cannot be handled, with its cause, so that its partition can move on.
-- Locks: none. Idempotent: yes, by place and content. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.bury_message(
    p_topic text, p_partition integer, p_offset bigint, p_cause text, p_payload bytea, p_key bytea, p_headers jsonb
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    INSERT INTO dead_letters (topic, partition, log_offset, cause, payload, key, headers)
    VALUES (p_topic, p_partition, p_offset, p_cause, p_payload, p_key, p_headers)
    ON CONFLICT ON CONSTRAINT dead_letters_once DO NOTHING
$$;
