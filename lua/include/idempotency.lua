-- Idempotency records: the first answer to a key, for 24 hours of the clock that decides (the TTL is only the broom).
-- That of a reserve is listed with the user (user.lua) while the reservation lives, and a key of its own
-- from its end on; the others are keys of their own. A digest is eight bytes wide, among one user's keys for one event.
-- Expects: call, now, keys.lua.

-- The record under `digest` if it still counts, as {fingerprint, booking, price, currency, at, deadline}.
local function remembered(event, user, digest, kept_ms)
  local packed = digest ~= "" and call("GET", idempotency_key(event, user, digest))
  local record = packed and cmsgpack.unpack(packed)
  if record and now - record[5] < tonumber(kept_ms) then
    return record
  end
  return nil
end

local function remember(r, digest, kept_ms, fingerprint, booking, at)
  local record = cmsgpack.pack({ fingerprint, booking, r.price, r.currency, at, r.deadline })
  call("SET", idempotency_key(r.event, r.user, digest), record, "PX", kept_ms)
end
