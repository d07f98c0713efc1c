-- Inside Redis ids and hashes are bytes, half as long as their texts; replies and JSON have the texts.

local function bytes_of(id) -- of a booking
  local a, b, c, d, e = string.match(id, "^(%x+)-(%x+)-(%x+)-(%x+)-(%x+)$")
  return struct.pack(
    ">I4I2I2I2I6", tonumber(a, 16), tonumber(b, 16), tonumber(c, 16), tonumber(d, 16), tonumber(e, 16)
  )
end

local function text_of(booking)
  local pattern = "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x"
  return string.format(pattern, string.byte(booking, 1, 16))
end

local function from_hex(hex)
  return (string.gsub(hex, "..", function(two)
    return string.char(tonumber(two, 16))
  end))
end

local function to_hex(bytes)
  return string.format(string.rep("%02x", #bytes), string.byte(bytes, 1, -1))
end
