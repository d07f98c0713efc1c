#!lua flags=allow-oom
-- settle: closes in Redis what Postgres has decided, and learns the facts, in one script (rule 3.4).
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] "<epoch> <run_id> <layout>"
-- ARGV[2] now, ms; "" for Redis' own clock
-- ARGV[3] JSON {confirmed: [booking], ended: {booking: released | expired}, zones: [facts], users: [facts]}
--
-- OK dropped (holds that were still there)
-- SERVICE_UNAVAILABLE closed

-- include: shard keys indexes text reservation counts deadlines user outbox ending together zone facts
local decided = cjson.decode(ARGV[3])

local bookings, ended = {}, {} -- booking -> how it has ended; false: it is confirmed
local function decide(id, state)
  local booking = bytes_of(id)
  if ended[booking] == nil then
    bookings[#bookings + 1], ended[booking] = booking, state
  end
end
for _, id in ipairs(decided.confirmed) do
  decide(id, false)
end
for id, state in pairs(decided.ended) do
  decide(id, state)
end

-- A hold goes only once: what was settled, has ended, or was never known here is passed over. Answers those that are live.
local function find_live(some)
  local live = {}
  for _, one in ipairs((load_all(some))) do
    if one[2].state == "reserved" or one[2].state == "pinned" then
      live[#live + 1] = one
    end
  end
  return live
end

-- Settles these; leaves it to the caller to save their users.
local function settle(live, users)
  local zones, settled = {}, {}
  for _, one in ipairs(live) do
    local booking, r = one[1], one[2]
    local zone = zone_name(r.event, r.zone)
    zones[zone] = zones[zone] or load_counts(zone)
    drop(zones[zone], users[user_key(r.event, r.user)], booking, r)
    leave_indexes(zone, booking, r)
    if ended[booking] then
      bury(booking, r, ended[booking], now) -- Postgres has recorded and will tell it: no entry in the outbox
    else
      settled[#settled + 1] = reservation_key(booking) -- Postgres has it for good
    end
  end
  if settled[1] then
    call("DEL", unpack(settled))
  end
  for name, counts in pairs(zones) do
    save_counts(name, counts)
  end
end

local dropped, users = 0, {}
for from = 1, #bookings, AT_ONCE do
  save_users(users)
  local live = find_live({ unpack(bookings, from, math.min(from + AT_ONCE - 1, #bookings)) })
  users = load_users(live)
  settle(live, users)
  dropped = dropped + #live
end
learn(decided.zones, decided.users, users)
return { "OK", dropped }
