#!lua flags=no-writes
-- backlog: how much of a shard waits: for the relay, for the sweeper, for Postgres' word on pins. For metrics.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
--
-- OK waiting oldest_ms overdue_ms pins: entries of the outbox, how old the oldest is, how late the sweeper is
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation
local oldest, overdue = 0, 0
for _, entry in ipairs(call("XRANGE", outbox, "-", "+", "COUNT", 1)) do
  oldest = math.max(0, now - unpack_reservation(string.sub(entry[2][2], 17)).at)
end
local first = call("ZRANGE", due_key, 0, 0)[1]
local due = first and call("ZRANGE", deadlines_key(first), 0, 0, "WITHSCORES")[2]
if due then
  overdue = math.max(0, now - tonumber(due))
end
return { "OK", call("XLEN", outbox), oldest, overdue, call("ZCARD", pins_key) }
