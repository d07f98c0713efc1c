-- The deadlines of a zone lie in buckets, so small that Redis keeps each in one block: 37 bytes a reservation instead of 125.
-- A reservation stays with the bucket that was filling when it came, whatever becomes of its deadline; its record has the
-- number. The zone's index leads to the buckets: one that is empty stays there until its time has come.
-- Expects: call, keys.lua.
local function member_of(booking, quantity)
  return booking .. quantity
end

local function booking_of(member)
  return string.sub(member, 1, 16)
end

local function seats_of(member)
  return tonumber(string.sub(member, 17))
end

-- The next reservation goes into the bucket of this number. `counts`: those of the zone (counts.lua).
local function filling(counts)
  return math.floor(counts.put / BUCKET) % BUCKETS
end

-- Puts a reservation back into its bucket, or moves its deadline there.
local function put_back(name, number, deadline, booking, quantity)
  call("ZADD", bucket_key(name, number), deadline, member_of(booking, quantity))
  call("ZADD", deadlines_key(name), "LT", deadline, number)
end

-- Puts a new one into the bucket that is filling, as reserve does. Leaves it to the caller to save the counts.
local function put_new(name, counts, deadline, booking, quantity)
  local number = filling(counts)
  if counts.put % BUCKET == 0 or deadline < counts.low then
    counts.low = deadline
    call("ZADD", deadlines_key(name), "LT", deadline, number)
  end
  call("ZADD", bucket_key(name, number), deadline, member_of(booking, quantity))
  counts.put = counts.put + 1
end

local function take(name, number, booking, quantity)
  call("ZREM", bucket_key(name, number), member_of(booking, quantity))
end

-- The numbers of the buckets in which something may be due.
local function buckets_due(name, limit)
  return call("ZRANGEBYSCORE", deadlines_key(name), "-inf", now, "LIMIT", 0, limit)
end
