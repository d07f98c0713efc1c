-- backlog: how much waits in Postgres: events for the relay, dead letters for an operator. For metrics.
-- Locks: none. Idempotent: yes. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.backlog() RETURNS TABLE (
    waiting bigint, oldest_seconds double precision, dead_letters bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = booking, pg_temp AS $$
    SELECT
        (SELECT count(*) FROM outbox),
        coalesce((SELECT extract(epoch FROM clock_timestamp() - min(o.created_at)) FROM outbox AS o), 0),
        (SELECT count(*) FROM dead_letters AS d WHERE d.state = 'waiting')
$$;
