-- replay_dead_letters: sends dead letters that wait (these, or all for null) again as they were, to where they came from:
-- through the outbox, so it happens even if Kafka is away now. Answers which.
-- Locks: their rows, sorted. Idempotent: yes, one that was replayed or discarded stays as it is. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.replay_dead_letters(p_ids bigint[]) RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    WITH replayed AS (
        UPDATE dead_letters AS d
        SET state = 'replayed', resolved_at = clock_timestamp()
        WHERE d.dead_letter_id IN (
            SELECT w.dead_letter_id
            FROM dead_letters AS w
            WHERE w.state = 'waiting' AND (p_ids IS NULL OR w.dead_letter_id = ANY (p_ids))
            ORDER BY w.dead_letter_id FOR UPDATE
        )
        RETURNING d.*
    ),
    sent AS (
        INSERT INTO outbox (ce_id, type, key, shard, data)
        SELECT
            'dead_letter/' || r.dead_letter_id, 'dead_letter.replayed', '', 0,
            jsonb_build_object(
                'topic', r.topic, 'partition', r.partition, 'key', encode(r.key, 'base64'),
                'payload', encode(r.payload, 'base64'), 'headers', r.headers
            )
        FROM replayed AS r
        ORDER BY r.dead_letter_id
    )
    SELECT r.dead_letter_id FROM replayed AS r ORDER BY 1
$$;
