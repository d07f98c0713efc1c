-- stuck_outbox: public events that Kafka has not acknowledged for a minute.
-- Repair: see that a worker runs and that Kafka answers it (its log says so once a minute); they go out in order by themselves.
SELECT o.outbox_id, o.type, o.key, o.created_at, clock_timestamp() - o.created_at AS age
FROM booking.outbox AS o
WHERE o.created_at < statement_timestamp() - interval '1 minute'
ORDER BY o.outbox_id;
