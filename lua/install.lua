#!lua flags=allow-oom
-- install: one chunk of a shard's image into the name space of the coming epoch; nobody reads there before the flip.
--
-- KEYS[1] {NN}:epoch
-- ARGV[1] the freeze's token
-- ARGV[2] the coming epoch
-- ARGV[3] purged | zone | user | reservation | key: what the chunk is of, in this order
-- ARGV[4] JSON [...], as shard_image.sql writes them, 500 at most
--
-- OK
-- SERVICE_UNAVAILABLE lost (another rebuilder has taken over, or Redis forgot again)

local call = redis.call
local tag = string.match(KEYS[1], "^{%d+}")
local epoch = ARGV[2]
if call("GET", tag .. ":freeze") ~= ARGV[1] then
  return { "SERVICE_UNAVAILABLE", "lost" }
end
local now = 0
-- include: keys indexes zone text reservation counts user facts idempotency
local rows = cjson.decode(ARGV[4])

local function short(digest)
  return from_hex(string.sub(digest, 1, 16))
end

local function append(words, first, second)
  words[#words + 1] = first
  words[#words + 1] = second
end

-- What belongs to one key is written in one call: a chunk has many reservations of few zones.
local ROW = {
  "event", "zone", "user", "quantity", "price", "currency", "reserved_at", "deadline", "hold_until", "version", "state",
  "pin", "pinned_at", "payment", "key", "fingerprint", "digest", "promised", "at", "booking",
}
local function install_reservations()
  local zones, users, at_rest = {}, {}, {}
  for _, row in ipairs(rows) do
    local r = {}
    for i, name in ipairs(ROW) do
      r[name] = row[i]
    end
    r.fingerprint, r.digest = from_hex(r.fingerprint), short(r.digest)
    local booking, name = bytes_of(r.booking), zone_name(r.event, r.zone)
    local zone, key = zones[name] or { held = 0, members = {} }, user_key(r.event, r.user)
    local u = users[key] or load_user(r.event, r.user)
    zones[name], users[key] = zone, u
    zone.held, u.held = zone.held + r.quantity, u.held + r.quantity
    list(u, r.digest, booking)
    append(at_rest, reservation_key(booking), pack(r))
    if r.state == "pinned" then
      call("ZADD", pins_key, r.pinned_at, booking)
    else
      append(zone.members, r.deadline, booking .. r.quantity)
      zone.due = math.min(zone.due or r.deadline, r.deadline)
    end
  end
  call("MSET", unpack(at_rest))
  for _, u in pairs(users) do
    save_user(u)
  end
  for name, zone in pairs(zones) do
    local counts = load_counts(name)
    counts.held = counts.held + zone.held
    save_counts(name, counts)
    if zone.due then
      call("ZADD", deadlines_key(name), unpack(zone.members))
      note_due(name, zone.due)
    end
  end
end

if ARGV[3] == "purged" then
  call("SADD", purged_key, unpack(rows))
elseif ARGV[3] == "zone" then
  learn(rows, {})
elseif ARGV[3] == "user" then
  learn({}, rows)
elseif ARGV[3] == "reservation" then
  install_reservations()
elseif ARGV[3] == "key" then
  for _, key in ipairs(rows) do
    -- That of an extend is the booking's id as a text.
    local fingerprint = #key.fingerprint == 32 and from_hex(key.fingerprint) or key.fingerprint
    remember(key, short(key.digest), key.keep_ms, fingerprint, bytes_of(key.booking), key.at)
  end
end
return { "OK" }
