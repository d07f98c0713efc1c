-- Idempotency records: the first answer to a key, for 24 hours of the clock that decides (the TTL is only the broom).
-- That of a reserve is a field of the user's hash while the reservation lives (digest -> booking), and a key of its own
-- from its end on; the others are keys of their own. Expects: call, now, keys.lua.

-- The record under `digest` if it still counts, as {fingerprint, booking, price, currency, at, deadline}.
local function remembered(digest, kept_ms)
  local packed = digest ~= "" and call("GET", idempotency_key(digest))
  local record = packed and cmsgpack.unpack(packed)
  if record and now - record[5] < tonumber(kept_ms) then
    return record
  end
  return nil
end

local function remember(digest, kept_ms, fingerprint, booking, r, at)
  local record = cmsgpack.pack({ fingerprint, booking, r.price, r.currency, at, r.deadline })
  call("SET", idempotency_key(digest), record, "PX", kept_ms)
end
