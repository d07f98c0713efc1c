-- The end of a live reservation: whoever removes it is the one who lowers `held`, in the same script (rule 3.5).
-- Expects: call, now, keys.lua, indexes.lua, text.lua, reservation.lua, counts.lua, deadlines.lua, user.lua, outbox.lua.

-- What has ended stays readable for an hour, so that GET and the reason of a 404 are right before Postgres has recorded it.
local ENDED_MS = 3600 * 1000

-- How long a key is kept, as Python tells reserve.
local KEPT_MS = 24 * 3600 * 1000

-- The first answer to the key outlives the reservation.
local function keep_answer(booking, r, digest)
  local left = r.reserved_at + KEPT_MS - now
  if left > 0 then
    local record = cmsgpack.pack({ r.fingerprint, booking, r.price, r.currency, r.reserved_at, r.promised })
    call("SET", idempotency_key(r.event, r.user, digest), record, "PX", left)
  end
end

-- Takes it out of every index.
local function leave_indexes(zone, booking, r)
  take(zone, r.bucket, booking, r.quantity)
  if r.state == "pinned" then
    call("ZREM", pins_key, booking)
  end
end

-- Takes the hold off the zone and the user. Leaves it to the caller to save both.
local function drop(counts, u, booking, r)
  counts.held, u.held = counts.held - r.quantity, u.held - r.quantity
  local digest = unlist(u, booking)
  if digest then
    keep_answer(booking, r, digest)
  end
end

-- Remembers how it ended; a TTL is only a broom for what has ended. Answers it packed.
local function bury(booking, r, state, at)
  r.state, r.at = state, at
  local packed = pack(r)
  call("SET", reservation_key(booking), packed, "PX", ENDED_MS)
  return packed
end

-- Ends a reservation that Redis owns and tells it.
local function finish(booking, r, state, at)
  local zone = zone_name(r.event, r.zone)
  local known = call("MGET", counts_key(zone), user_key(r.event, r.user))
  local counts, u = counts_of(zone, known[1]), unpack_user(r.event, r.user, known[2])
  drop(counts, u, booking, r)
  save_counts(zone, counts)
  save_users({ u })
  leave_indexes(zone, booking, r)
  r.version = r.version + 1
  tell(state, booking, bury(booking, r, state, at))
end
