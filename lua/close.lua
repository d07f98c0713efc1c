#!lua flags=allow-oom
-- close: stops a shard in which a script has found what it cannot read: somebody has edited it. Whoever meets it rebuilds
-- it. One that is closed stays as it is: its rebuild may be under way (rule 3.7).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] what was found
--
-- OK
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation
forget(ARGV[3])
return { "OK" }
