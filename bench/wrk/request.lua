-- wrk: each request is the text of a file, with {n} and {line} replaced (bench/requests.py says how).
-- Arguments: text file, lines file, first number.
local parts, lines, number, at = {}, {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a")
  file:close()
  for line in io.lines(args[2]) do
    lines[#lines + 1] = line
  end
  number = tonumber(args[3])
  local from = 1
  while true do
    local first, last, mark = text:find("{(%l+)}", from)
    if not first then
      break
    end
    parts[#parts + 1] = text:sub(from, first - 1)
    parts[#parts + 1] = mark
    from = last + 1
  end
  parts[#parts + 1] = text:sub(from)
end

local out = {}

function request()
  number, at = number + 1, at % math.max(1, #lines) + 1
  for i = 1, #parts do
    local part = parts[i]
    if part == "n" then
      part = string.format("%012d", number)
    elseif part == "line" then
      part = lines[at]
    end
    out[i] = part
  end
  return table.concat(out)
end

function done(summary, latency)
  io.write(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, summary.errors.status, summary.errors.connect, summary.errors.read,
    summary.errors.write, summary.errors.timeout, latency:percentile(50), latency:percentile(99)
  ))
end
