-- outgrow_epoch: raises a shard's epoch to one that Redis has had, before shard_image raises it past that. Where this
-- database was set back, or is another than the one that Redis was filled from, an epoch would come twice: with what is left
-- in its name space, and with ids that its outbox refuses (rule 3.7).
-- Locks: shard, exclusive. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.outgrow_epoch(p_shard smallint, p_epoch integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = booking, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1, p_shard);
    UPDATE shards AS s SET epoch = p_epoch, highest_seq = 0 WHERE s.shard = p_shard AND s.epoch < p_epoch;
END
$$;
