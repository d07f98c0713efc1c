-- note_seq: remembers how far each shard's outbox has been recorded, so that a Redis that is behind is noticed (rule 3.7).
-- Locks: the shards' rows. Idempotent: yes, it only grows within an epoch. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.note_seq(p_entries jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN -- not in SQL: that would be planned anew at each call
    UPDATE shards AS s
    SET highest_seq = e.seq
    FROM (
        SELECT shard, epoch, max(seq) AS seq FROM batch_of(p_entries) GROUP BY shard, epoch ORDER BY shard
    ) AS e
    WHERE s.shard = e.shard AND s.epoch = e.epoch AND s.highest_seq < e.seq;
END
$$;
