-- A reservation at rest is one packed array: a hash would cost three times its memory. What most never have, it does not
-- have either: the last six only once something has happened to it since it was reserved.
-- Expects: call, tag, keys.lua, text.lua.
-- app/stores/outboxes.py reads the same order, and reserve.lua writes the first thirteen. `bucket` is where its
-- deadline is found (deadlines.lua), and `promised` is the deadline that its first answer told.
local function pack(r)
  local since = r.reserved_at
  local v = {
    r.event, r.zone, r.user, r.quantity, r.price, r.currency, since, r.deadline - since, r.hold_until - since, r.version,
    r.key, r.fingerprint, r.bucket,
  }
  if r.state ~= "reserved" or r.version > 1 or r.pin > 0 then
    v[14], v[15], v[16], v[17], v[18], v[19] = r.state, r.pin, r.pinned_at, r.payment, r.promised, r.at
  end
  return cmsgpack.pack(v)
end

local function unpack_reservation(packed)
  local v = cmsgpack.unpack(packed)
  local since, deadline = v[7], v[7] + v[8]
  return {
    event = v[1], zone = v[2], user = v[3], quantity = v[4], price = v[5], currency = v[6], reserved_at = since,
    deadline = deadline, hold_until = since + v[9], version = v[10], key = v[11], fingerprint = v[12], bucket = v[13],
    state = v[14] or "reserved", pin = v[15] or 0, pinned_at = v[16] or 0, payment = v[17] or "",
    promised = v[18] or (v[11] ~= "" and deadline or 0), at = v[19] or since,
  }
end

local function load(booking)
  local packed = call("GET", reservation_key(booking))
  return packed and unpack_reservation(packed) or nil
end

-- Something is missing that no script leaves behind: Redis has forgotten it. The shard is closed, and whoever meets it
-- rebuilds it (rules 3.5 and 3.7).
local function forget(what)
  call("SET", tag .. ":freeze", "forgotten: " .. what)
end

-- A reservation that an index calls live.
local function load_live(booking)
  local r = load(booking)
  if not r then
    forget(text_of(booking))
  end
  return r
end

-- What a reply tells of a reservation, whose id is a text there, in this order (app/stores/reservations.py reads it).
local function facts(id, r)
  return {
    id, r.event, r.zone, r.user, r.quantity, r.price, r.currency, r.reserved_at, r.deadline, r.version,
    r.state, r.pin, r.payment, r.key, to_hex(r.fingerprint), r.at,
  }
end
