-- What Postgres says of a zone is one packed row of values, read at once by every reserve: no array, which is a table more.
local ZONE_FACTS = {
  "version", "capacity", "confirmed", "price", "currency", "digits", "opens", "closes", "hold_ms", "hold_max_ms",
  "per_user", "per_reservation", "ceiling_done",
}

-- The facts by name; nil for a zone that is not known.
local function unpack_zone(packed)
  if not packed then
    return nil
  end
  local known, z = { cmsgpack.unpack(packed) }, {}
  assert(#known == #ZONE_FACTS, "the facts of a zone are cut off, or something else")
  for i, name in ipairs(ZONE_FACTS) do
    z[name] = known[i]
  end
  return z
end

local function pack_zone(z)
  local known = {}
  for i, name in ipairs(ZONE_FACTS) do
    known[i] = z[name]
  end
  return cmsgpack.pack(unpack(known))
end
