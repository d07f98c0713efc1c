#!lua flags=allow-oom
-- expire: ends what is due in the shard, up to a limit, and names the pins and the ceilings that are past theirs.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] limit, reservations; 500 at most
-- ARGV[4] how long a pin, or a ceiling, may stand, ms
--
-- OK expired more(0|1) {pin ...} {{zone number} ...}: pins as confirm answers them, zones as "<event>/<zone>"
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation counts deadlines user outbox ending together reclaim
local limit, expired = math.min(tonumber(ARGV[3]), AT_ONCE), 0
local PINS_LIMIT = 100

for _, name in ipairs(call("ZRANGEBYSCORE", due_key, "-inf", now, "LIMIT", 0, limit)) do
  if expired < limit and looks > 0 then
    expired = expired + reclaim_zone(name, limit - expired)
  end
end

-- Neither ends by time: Postgres is asked about the pins (rule 3.3), and voids the ceilings first (rule 3.8).
local since = now - tonumber(ARGV[4])
local overdue, ceilings = {}, {}
-- Those that wait for a payment must not hide the others: where there are too many, another window each time.
local count = call("ZCOUNT", pins_key, "-inf", since)
local first = count > PINS_LIMIT and now % (count - PINS_LIMIT + 1) or 0
for _, booking in ipairs(call("ZRANGEBYSCORE", pins_key, "-inf", since, "LIMIT", first, PINS_LIMIT)) do
  local r = load_live(booking)
  if r then
    overdue[#overdue + 1] = facts(text_of(booking), r)
  end
end
for _, name in ipairs(call("ZRANGEBYSCORE", ceilings_key, "-inf", since, "LIMIT", 0, PINS_LIMIT)) do
  local number = load_counts(name).ceiling_number
  if number > 0 then
    ceilings[#ceilings + 1] = { name, number }
  else
    forget(name)
  end
end
local more = expired >= limit or looks <= 0
return { "OK", expired, more and 1 or 0, overdue, ceilings }
