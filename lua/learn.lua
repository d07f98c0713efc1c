#!lua flags=allow-oom
-- learn: facts of Postgres, newest version wins; repeats and reordering change nothing (rule 3.4).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] JSON {zones: [facts], users: [facts]}
--
-- OK
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation zone counts user facts
local told = cjson.decode(ARGV[3])
learn(told.zones, told.users, {})
return { "OK" }
